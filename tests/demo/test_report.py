"""The demo succeeds only where all is as the incident should have given it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from monitoring.alerts.read import AlertRow
from rich.console import Console

from demo.incident import MINUTE, Course, ExpectedAlert, expected_alerts
from demo.observed import MinuteRow, Problem
from demo.report import Outcome, Run, checks, show
from demo.traffic import OUTCOMES, Tally
from demo.webhook import Message

_AT = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
_COURSE = Course(_AT, _AT + MINUTE)
_FRAGILE = "monitoring-demo-1-worker"
_SEEN = {("files", "ok"): 90, ("simulations", "timeout"): 10}


def _alert(expected: ExpectedAlert) -> AlertRow:
    return AlertRow(
        id=expected.policy,
        policy=expected.policy,
        labels={**expected.labels, "source": "gateway"},
        severity="critical",
        state="resolved",
        active_at=_COURSE.begin + MINUTE,
        fired_at=min(expected.fires_at),
        resolved_at=expected.resolves_at,
        flapping_at=None,
        calm_at=None,
        value=0.5,
        annotations={"summary": f"{expected.subject} [is] bad"},
        policy_version=1,
        recorded_at=_AT,
    )


def _message(expected: ExpectedAlert, status: str, answered: int = 200) -> Message:
    labels = {**expected.labels, "alertname": expected.policy}
    payload = {"status": status, "alerts": [{"status": status, "labels": labels}]}
    return Message(_AT, {}, payload, answered)


def _outcome() -> Outcome:
    expected = expected_alerts(_COURSE, _FRAGILE)
    rows = [
        MinuteRow(window.start, 1025, dict.fromkeys(OUTCOMES, 1205), 3012.5, 123, 12, 11)
        for window in _COURSE.windows()
    ]
    return Outcome(
        course=_COURSE,
        runs=[Run(str(window), "success", 7.0) for window in _COURSE.windows()],
        minutes=rows,
        tally=Tally(Counter(_SEEN)),
        collected=dict(_SEEN),
        reported=12,
        events=(12, 12),
        fragile=_FRAGILE,
        problems=[],
        alerts=[_alert(alert) for alert in expected],
        expected=expected,
        messages=[
            _message(expected[0], "firing", answered=503),
            *(_message(alert, status) for alert in expected for status in ("firing", "resolved")),
        ],
    )


def _with_alert(outcome: Outcome, **changes: object) -> Outcome:
    first, *others = outcome.alerts
    return replace(outcome, alerts=[replace(first, **changes), *others])  # type: ignore[arg-type]


_UNAVAILABLE = Problem("request_logs", "gateway", _AT, "unavailable", "begins in it")

_WRONG: dict[str, tuple[Callable[[Outcome], Outcome], str]] = {
    "a run failed": (
        lambda o: replace(o, runs=[*o.runs[:3], Run("w", "failed", 1.0, ("notify: down",))]),
        "w failed: notify: down",
    ),
    "a run is missing": (lambda o: replace(o, runs=o.runs[:3]), "3 runs"),
    "a source failed": (
        lambda o: replace(o, problems=[replace(_UNAVAILABLE, status="failed")]),
        "request_logs gateway: begins in it",
    ),
    "a later window is incomplete": (
        lambda o: replace(o, problems=[replace(_UNAVAILABLE, window_start=_AT + MINUTE)]),
        "request_logs gateway",
    ),
    "a request is missing": (
        lambda o: replace(o, collected={**_SEEN, ("files", "ok"): 89}),
        "files ok: 90 sent, 89 collected",
    ),
    "a request is twice there": (
        lambda o: replace(o, collected={**_SEEN, ("files", "ok"): 91}),
        "files ok: 90 sent, 91 collected",
    ),
    "no request was sent": (
        lambda o: replace(o, tally=Tally(), collected={}),
        "0 sent",
    ),
    "an event is missing": (lambda o: replace(o, events=(11, 11)), "12 reported, 11 stored"),
    "an event is not counted": (lambda o: replace(o, events=(12, 11)), "11 counted"),
    "no sample of containers": (
        lambda o: replace(o, minutes=[replace(row, containers=None) for row in o.minutes]),
        "0 of 4 windows",
    ),
    "an alert never fired": (lambda o: _with_alert(o, fired_at=None), "it never fired"),
    "an alert still fires": (lambda o: _with_alert(o, resolved_at=None), "still firing"),
    "an alert fired late": (
        lambda o: _with_alert(o, fired_at=_COURSE.recovered),
        "should be 10:03 and 10:04",
    ),
    "an alert fired twice": (
        lambda o: replace(o, alerts=[*o.alerts, o.alerts[0]]),
        "more than once",
    ),
    "another alert fired": (
        lambda o: replace(o, alerts=[*o.alerts, replace(o.alerts[0], labels={"route": "files"})]),
        "request-timeouts files",
    ),
    "a resolution was not told": (
        lambda o: replace(o, messages=o.messages[:-1]),
        "resolved: told 0 times",
    ),
    "a message came only refused": (
        lambda o: replace(o, messages=[o.messages[0], *o.messages[2:]]),
        "firing: told 0 times",
    ),
    "something else was told": (
        lambda o: replace(
            o,
            messages=[
                *o.messages,
                _message(replace(o.expected[0], policy="other"), "firing"),
            ],
        ),
        "other sim-runner simulations firing: told 1 times",
    ),
}


def test_all_is_well() -> None:
    verdict = checks(_outcome())

    assert [check.what for check in verdict if not check.ok] == []
    assert "1 turned away and sent again" in verdict[-1].detail


@pytest.mark.parametrize("what", _WRONG)
def test_whatever_is_wrong_is_seen_and_told(what: str) -> None:
    break_, told = _WRONG[what]

    wrong = [check for check in checks(break_(_outcome())) if not check.ok]

    assert any(told in check.detail for check in wrong), [check.detail for check in wrong]


def test_the_minute_in_which_the_log_begins_may_be_incomplete() -> None:
    verdict = checks(replace(_outcome(), problems=[_UNAVAILABLE]))

    assert all(check.ok for check in verdict)
    assert "10:00 is known to be incomplete" in verdict[0].detail


def test_without_containers_none_are_missed() -> None:
    outcome = _outcome()
    expected = expected_alerts(_COURSE, None)
    names = {alert.policy for alert in expected}
    without = replace(
        outcome,
        fragile=None,
        expected=expected,
        alerts=[alert for alert in outcome.alerts if alert.policy in names],
        messages=[
            message
            for message in outcome.messages
            if message.alerts[0]["labels"]["alertname"] in names
        ],
        minutes=[replace(row, containers=None) for row in outcome.minutes],
    )

    assert all(check.ok for check in checks(without))


@pytest.mark.parametrize("width", [80, 100, 116, 200])
def test_the_tables_fit_and_hold_everything(width: int) -> None:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    outcome = _outcome()
    show(console, outcome, checks(outcome))
    text = console.export_text()

    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    for alert in outcome.expected:
        assert alert.policy in text
    # a summary is text, whatever it looks like
    assert "[is]" in text
