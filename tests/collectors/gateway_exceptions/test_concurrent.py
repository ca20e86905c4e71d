"""Reporters and collectors as processes of their own, on both dialects, some of them killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from include.collectors.gateway_exceptions.collector import GatewayExceptions
from include.collectors.gateway_exceptions.settings import GatewayExceptionsSettings
from tests.collectors.gateway_exceptions.counts import (
    event,
    stored_counts,
    stored_ids,
    straightforward,
)
from tests.collectors.gateway_exceptions.workers import NOW, WINDOW, minute_of
from userdb.events import EventRecord
from userdb.models import MonitorEvent
from userdb.store import Store

ROOT = Path(__file__).resolve().parents[3]
COUNT = 150


def expected(prefix: str) -> list[EventRecord]:
    return [
        event(
            f"{prefix}-{number}",
            source="gateway_client",
            service=f"s{number % 3}",
            instance="i",
            occurred_at=minute_of(number),
        )
        for number in range(COUNT)
    ]


def start(store: Store, spool: Path, *work: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "USERDB_URL": store.url.url.render_as_string(hide_password=False),
        "MONITORING_SPOOL": str(spool),
    }
    module = "tests.collectors.gateway_exceptions.workers"
    return subprocess.Popen(
        [sys.executable, "-m", module, *work],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_reporters_and_collectors_at_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    monkeypatch.setenv("MONITORING_SPOOL", str(spool))
    # "shared" is reported by two: each of its ids must be counted once
    work = [("report", "a"), ("report", "shared"), ("spool", "shared"), ("spool", "b")]
    reporters = [start(store, spool, kind, prefix, str(COUNT)) for kind, prefix in work]
    collectors = [start(store, spool, "collect") for _ in range(2)]
    for reporter in reporters:
        reporter.communicate(timeout=120)
        assert reporter.returncode == 0
    for collector in collectors:
        assert collector.poll() is None, "a collector failed"
        kill(collector)
    final = GatewayExceptions(GatewayExceptionsSettings())
    assert final.collect(WINDOW, store, now=NOW).ok
    reported = [item for prefix in ("a", "shared", "b") for item in expected(prefix)]
    assert sorted(stored_ids(store)) == sorted(item.event_id for item in reported)
    assert stored_counts(store) == straightforward(reported)
    assert list(spool.iterdir()) == []


def test_collectors_that_are_killed_again_and_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    monkeypatch.setenv("MONITORING_SPOOL", str(spool))
    reporters = [start(store, spool, "spool", prefix, str(COUNT)) for prefix in ("a", "b")]
    for number in range(4):
        collector = start(store, spool, "collect")
        assert collector.stdout is not None
        collector.stdout.readline()
        time.sleep(0.003 * number)
        kill(collector)
    for reporter in reporters:
        reporter.communicate(timeout=120)
        assert reporter.returncode == 0
    GatewayExceptions(GatewayExceptionsSettings()).collect(WINDOW, store, now=NOW)
    assert stored_counts(store) == straightforward([*expected("a"), *expected("b")])
    with store.read() as connection:
        open_events = connection.scalar(
            select(func.count()).where(MonitorEvent.rolled_up.is_(False))
        )
    assert open_events == 0
