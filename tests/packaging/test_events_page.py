"""docs/events.md is true: its examples send events that come in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from fastapi import FastAPI
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.intake import Bounds, SentEvent
from monitoring.intake.amqp import AmqpConsumer
from monitoring.keys import create_key
from monitoring.policy.kinds import parse_policy
from sqlalchemy import select

from tests.monitoring.api.serving import serve
from tests.servers.rabbitmq import RabbitServer
from userdb.models import MonitorEvent
from userdb.store import Store

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
BLOCKS = [(one[1], one[2]) for one in re.finditer(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)]


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def python(word: str) -> str:
    (text,) = (text for text in blocks("python") if word in text)
    return text


def run(*command: str, **variables: str) -> None:
    ended = subprocess.run(
        command,
        check=False,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr


def messages(store: Store) -> list[str]:
    with store.read() as connection:
        return sorted(
            connection.scalars(select(MonitorEvent.message).where(MonitorEvent.service == "shop"))
        )


@pytest.fixture
def server(sqlite_store: Store) -> Iterator[dict[str, str]]:
    """The variables that lead to a server, as the page has them."""
    app = create_app(login=None)
    app.dependency_overrides[get_store] = lambda: sqlite_store
    outer = FastAPI()
    outer.mount("/monitoring", app)
    _, key = create_key(sqlite_store, "shop", ["events:write"], by="t", now=datetime.now(UTC))
    with serve(outer) as url:
        yield {"MONITORING_URL": f"{url}/monitoring", "MONITORING_API_KEY": key}
    app.dependency_overrides.clear()


@pytest.mark.curl
def test_curl_sends_events(server: dict[str, str], sqlite_store: Store) -> None:
    for text in blocks("bash"):
        run("bash", "-euc", text, **server)
    assert messages(sqlite_store) == ["card was declined", "disk is full", "retrying"]


@pytest.mark.parametrize(
    ("word", "message"),
    [("opentelemetry", "order failed"), ("sentry_sdk", "KeyError: 'order'")],
)
def test_the_sdks_send_events(
    server: dict[str, str], sqlite_store: Store, word: str, message: str
) -> None:
    run(sys.executable, "-W", "ignore", "-c", python(word), **server)
    assert messages(sqlite_store) == [message]


@pytest.mark.rabbitmq
def test_a_message_in_the_queue_is_an_event(rabbit: RabbitServer, sqlite_store: Store) -> None:
    consumer = AmqpConsumer(
        url=rabbit.url,
        queue="monitoring.events",
        store=sqlite_store,
        bounds=Bounds(),
        clock=lambda: datetime.now(UTC),
        taken=lambda _receipt: consumer.stop(),
    )
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        # the queue may not be there yet: the message is published again until it is taken
        while thread.is_alive():
            run(sys.executable, "-c", python("kombu"), MONITORING_AMQP_URL=rabbit.url)
            thread.join(2)
    finally:
        consumer.stop()
        thread.join()
    assert messages(sqlite_store) == ["card was declined"]


def test_the_policy_is_valid_and_urgent() -> None:
    (text,) = blocks("yaml")
    for entry in yaml.safe_load(text)["policies"]:
        assert parse_policy(entry).urgent  # type: ignore[attr-defined]


def test_the_table_has_every_field() -> None:
    named = set()
    for row in re.findall(r"^\| (`[^|]*) \|", PAGE, re.M):
        named |= set(re.findall(r"`(\w+)`", row))
    assert named == set(SentEvent.model_fields)
