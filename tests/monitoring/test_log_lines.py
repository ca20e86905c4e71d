"""MONITORING_LOG_FORMAT=json: every line on stderr is an object that says what it is about, and
holds no secret."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from monitoring.collection_log import list_collections
from monitoring.log_format import secrets_of

from tests.incident import MINUTE, Incident
from tests.notify.hooks import answer, listening
from tests.servers.upstream import free_port
from userdb.migrate import upgrade
from userdb.store import open_store

MONITORING = [sys.executable, "-c", "from monitoring.cli import main; main()"]
SECRET = "very-secret-7"
PASSWORD = "pass-word/8"


@pytest.fixture
def incident(tmp_path: Path) -> Incident:
    # it fires at the end of its first twenty minutes, which is now
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    written = Incident(tmp_path, now - 20 * MINUTE)
    written.write(20)
    return written


@pytest.fixture
def environment(incident: Incident) -> dict[str, str]:
    url = f"sqlite:///{incident.folder}/userdb.sqlite"
    store = open_store(url)
    upgrade(store)
    store.close()
    own = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {
        **own,
        **incident.environment(url),
        "MONITORING_LOG_FORMAT": "json",
        "MONITORING_WEBHOOK_SECRET": SECRET,
    }


def lines_of(text: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert {"timestamp", "level", "logger", "event"} <= line.keys()
        assert datetime.fromisoformat(line["timestamp"]).utcoffset() is not None
    for secret in (SECRET, PASSWORD, PASSWORD.replace("/", "%2F")):
        assert secret not in text
    return lines


def run(environment: dict[str, str], *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*MONITORING, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return lines_of(done.stderr)


def test_lines_of_a_run_say_which_run_window_collector_and_policy(
    incident: Incident, environment: dict[str, str]
) -> None:
    start, end = incident.at(0), incident.at(20)
    window = ("--from", start.isoformat(), "--to", end.isoformat())
    # a receiver that is wrong, and repeats what it was sent
    with listening(answer(400, f"no: {PASSWORD} {SECRET}".encode())) as hook:
        login = f"me:{PASSWORD.replace('/', '%2F')}"
        environment["MONITORING_WEBHOOK_URL"] = hook.url.replace("://", f"://{login}@")
        lines = run(environment, "run", *window, "--notify", code=1)
    (run_id,) = {line["run_id"] for line in lines}
    assert run_id.startswith("cli__")
    for line in lines:
        assert line["command"] == "run"
        assert (line["window_start"], line["window_end"]) == (start.isoformat(), end.isoformat())
    collected = {one["collector"]: one for one in lines if "collector" in one and "rows" in one}
    assert collected["request_logs"]["rows"] == 400
    assert {one["policy"] for one in lines if "policy" in one} == {"timeouts"}
    # threads that deliver messages
    (failed,) = [one for one in lines if one["logger"] == "monitoring.notify.sending"]
    assert failed["level"] == "error"
    assert "HTTP 400" in failed["event"]
    store = open_store(environment["USERDB_URL"])
    with store.read() as connection:
        assert {row.run_id for row in list_collections(connection)} == {run_id}
    store.close()


def test_a_failed_source_and_a_wrong_policy_are_lines_of_their_own(
    incident: Incident, environment: dict[str, str]
) -> None:
    incident.write_sources([str(incident.folder / "gone.log")])
    window = ("--from", incident.at(0).isoformat(), "--to", incident.at(5).isoformat())
    lines = run(environment, "collect", *window, code=1)
    (failed,) = [one for one in lines if one["level"] == "error"]
    assert failed["collector"] == "request_logs"
    assert "gone.log" in failed["event"]


def test_an_error_of_a_command_is_a_line(environment: dict[str, str]) -> None:
    wrong = {**environment, "USERDB_URL": f"postgresql://me:{PASSWORD}@127.0.0.1/userdb"}
    (line,) = run(wrong, "status", code=1)
    assert line["level"] == "error"
    assert "USERDB_URL" in line["event"]


def test_another_format_is_refused(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*MONITORING, "status"],
        env={**environment, "MONITORING_LOG_FORMAT": "xml"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "MONITORING_LOG_FORMAT is 'xml'; set it to text or json" in done.stderr


@contextmanager
def running(environment: dict[str, str], folder: Path, *arguments: str) -> Iterator[Path]:
    """A command that goes on until SIGTERM; yields its stderr."""
    log = folder / "stderr.log"
    with log.open("wb") as out:
        process = subprocess.Popen([*MONITORING, *arguments], env=environment, stderr=out)
    try:
        yield log
        assert process.poll() is None, log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def wait_for(log: Path, text: str) -> None:
    end = time.monotonic() + 60
    while text not in log.read_text():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_writes_lines_of_json_in_every_process(
    environment: dict[str, str], tmp_path: Path, workers: str
) -> None:
    port = str(free_port())
    with running(environment, tmp_path, "serve", "--port", port, "--workers", workers) as log:
        for text in ("Application startup complete", "Uvicorn running on"):
            wait_for(log, text)
        url = f"http://127.0.0.1:{port}"
        with requests.Session() as session:
            session.trust_env = False
            assert session.get(f"{url}/health", timeout=30).status_code == 200
            answer = session.get(
                f"{url}/metrics", headers={"X-API-Key": f"mk_{SECRET}"}, timeout=30
            )
            assert answer.status_code == 401
    lines = lines_of(log.read_text())
    assert {"uvicorn.error", "monitoring.cli.options"} <= {line["logger"] for line in lines}


def test_a_consumer_writes_lines_of_json(environment: dict[str, str]) -> None:
    url = f"amqp://me:{SECRET}@127.0.0.1:{free_port()}/"
    *_, line = run({**environment, "MONITORING_AMQP_URL": url}, "consume", code=1)
    assert line["level"] == "error"
    assert line["run_id"].startswith("cli__")
    assert "AMQP server" in line["event"]


def test_secrets_are_values_of_names_like_secrets_and_parts_of_urls() -> None:
    found = secrets_of(
        {
            "MONITORING_CALLBACK_SECRET_PREVIOUS": "older-key, old-key-1",
            "OPS_API_KEY": "mk_abcdefgh",
            "USERDB_URL": "mysql://me:p%40ssword@db/userdb",
            "CHAT_URL": "https://chat.example.com/hook/0123456789abcdef",
            "A_PASSWORD": "x",
            "HOME": "/root/of/everything",
        }
    )
    assert {"older-key", "old-key-1", "mk_abcdefgh", "p%40ssword", "p@ssword"} <= set(found)
    assert "0123456789abcdef" in found
    assert not {"x", "me", "hook", "/root/of/everything"} & set(found)
