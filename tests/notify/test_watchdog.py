"""The watchdog's own path: no userdb, never an exception, never long."""

from __future__ import annotations

import logging
import time

import pytest
from monitoring.notify import watchdog

from tests.notify import hooks
from tests.notify.episodes import NOW
from tests.notify.hooks import answer, listening, unused_port

REASONS = {"collect.request_logs": "no such file", "watcher": "x"}


def tell():
    return watchdog.tell(
        what="monitoring_chain", run_id="manual__1", window="[a, b)", reasons=REASONS, now=NOW
    )


def test_it_posts_what_failed_and_why(monkeypatch):
    # userdb is nowhere
    monkeypatch.setenv("USERDB_URL", "mysql://nobody@127.0.0.1:1/none")
    with listening() as hook:
        monkeypatch.setenv("MONITORING_WATCHDOG_URL", hook.url)
        assert tell()
    assert hook.received[0].payload == {
        "what": "monitoring_chain",
        "status": "failed",
        "run_id": "manual__1",
        "window": "[a, b)",
        "reasons": REASONS,
        "at": "2026-03-01T12:00:00Z",
    }


def test_without_a_url_it_logs_an_error(monkeypatch, caplog):
    monkeypatch.delenv("MONITORING_WATCHDOG_URL", raising=False)
    assert tell()
    assert caplog.records[0].levelno == logging.ERROR
    assert "collect.request_logs: no such file" in caplog.text


@pytest.mark.parametrize("behave", [hooks.never, hooks.drip, hooks.garbage, answer(500)])
def test_a_url_that_fails_is_logged_with_what_it_was_to_tell(monkeypatch, caplog, behave):
    monkeypatch.setattr(watchdog, "TIMEOUT_S", 0.3)
    with listening(behave) as hook:
        monkeypatch.setenv("MONITORING_WATCHDOG_URL", f"{hook.url}?token=hunter22")
        started = time.perf_counter()
        assert not tell()
        assert time.perf_counter() - started < 2
    assert "could not be told" in caplog.text
    assert "no such file" in caplog.text
    assert "hunter22" not in caplog.text


@pytest.mark.parametrize(
    "url",
    ["not a url", f"http://127.0.0.1:{unused_port()}", "http://[::1"],
    ids=["no url", "nobody listens", "half an address"],
)
def test_it_never_raises(monkeypatch, caplog, url):
    monkeypatch.setenv("MONITORING_WATCHDOG_URL", url)
    tell()
    assert "no such file" in caplog.text
