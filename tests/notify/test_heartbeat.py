"""The heartbeat: a ping a run, to healthchecks' paths, that never harms the run."""

from __future__ import annotations

import pytest
from monitoring.notify import watchdog
from monitoring.notify.heartbeat import beat

from tests.notify import hooks
from tests.notify.hooks import Handler, answer, listening


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MONITORING_HEARTBEAT_URL", "MONITORING_HEARTBEAT_SIGNALS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("signals", "paths"),
    [
        ("", ["/hook?rid=1"]),
        ("fail", ["/hook?rid=1", "/hook/fail?rid=1"]),
        ("start, fail", ["/hook/start?rid=1", "/hook?rid=1", "/hook/fail?rid=1"]),
    ],
)
def test_success_is_always_told_and_the_rest_where_it_is_wanted(monkeypatch, signals, paths):
    called = []

    def behave(handler: Handler, number: int) -> None:
        called.append(handler.path)
        answer(200)(handler, number)

    monkeypatch.setenv("MONITORING_HEARTBEAT_SIGNALS", signals)
    with listening(behave) as hook:
        monkeypatch.setenv("MONITORING_HEARTBEAT_URL", f"{hook.url}?rid=1")
        done = [beat("start"), beat("success", "run 1: größer"), beat("fail")]
    assert called == paths
    assert done.count(True) == len(paths)
    assert "run 1: größer".encode() in [one.body for one in hook.received]


def test_without_a_url_nothing_is_told(caplog):
    assert not beat()
    assert caplog.text == ""


@pytest.mark.parametrize("behave", [hooks.never, hooks.garbage, answer(404)])
def test_a_service_that_fails_is_logged_without_its_secret_path(monkeypatch, caplog, behave):
    monkeypatch.setattr(watchdog, "TIMEOUT_S", 0.3)
    with listening(behave) as hook:
        secret = "0b1c0ffee-5ecret-path-of-a-check"
        monkeypatch.setenv("MONITORING_HEARTBEAT_URL", f"{hook.url}/{secret}")
        assert not beat()
    assert "the heartbeat success could not be told" in caplog.text
    assert secret not in caplog.text


def test_a_signal_that_there_is_not_is_named(monkeypatch, caplog):
    monkeypatch.setenv("MONITORING_HEARTBEAT_URL", "http://127.0.0.1:9/x")
    monkeypatch.setenv("MONITORING_HEARTBEAT_SIGNALS", "start,stop")
    assert not beat("fail")
    assert "names stop; known are start and fail" in caplog.text
