"""When the incident happens, and what it should give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from monitoring.policy.loader import load_policies

from demo.incident import (
    AIRFLOW_PATIENCE,
    HEALTHY_BEFORE,
    MINUTE,
    Course,
    expected_alerts,
    floor,
    may_begin,
    subject,
    unexpected,
)

_AT = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
#: What the chain needs for the last window, on a slow machine.
_LAST_RUN = timedelta(seconds=40)


def _course(traffic_from: datetime, airflow_after: timedelta) -> Course:
    now = traffic_from
    while not may_begin(now, traffic_from, airflow_up=now - traffic_from >= airflow_after):
        now += _SECOND / 10
    return Course(traffic_from, floor(now))


@given(
    offset=st.floats(0, 59.9).map(lambda seconds: timedelta(seconds=seconds)),
    airflow=st.floats(5, 600).map(lambda seconds: timedelta(seconds=seconds)),
)
def test_it_ends_within_five_minutes_whenever_it_starts(
    offset: timedelta, airflow: timedelta
) -> None:
    traffic_from = _AT + offset
    course = _course(traffic_from, airflow)

    assert course.begin - traffic_from >= HEALTHY_BEFORE
    assert course.recovered - traffic_from + _LAST_RUN <= 5 * MINUTE


@given(offset=st.integers(0, 59))
def test_windows_cover_all_traffic_without_gaps(offset: int) -> None:
    course = _course(_AT + offset * _SECOND, AIRFLOW_PATIENCE)
    windows = course.windows()

    assert windows[0].start <= course.traffic_from
    assert windows[-1].end == course.recovered
    for before, after in pairwise(windows):
        assert before.end == after.start
    assert [window.phase for window in windows] == ["healthy", "incident", "incident", "recovery"]
    assert all(course.phase(window.start) == window.phase for window in windows)


def test_every_policy_of_the_demo_is_valid_and_expected() -> None:
    loaded = load_policies("demo/policies")
    course = Course(_AT, _AT + MINUTE)

    assert loaded.errors == ()
    assert {policy.name for policy in loaded.policies} == {
        alert.policy for alert in expected_alerts(course, "monitoring-demo-1-worker")
    }


def test_an_alert_fires_when_its_policy_says() -> None:
    """The expectation's times follow from the policies' ``for``."""
    course = Course(_AT, _AT + MINUTE)
    waits = {policy.name: policy.for_minutes for policy in load_policies("demo/policies").policies}

    for alert in expected_alerts(course, None):
        assert alert.fires_at == {course.begin + (1 + waits[alert.policy]) * MINUTE}
        assert alert.resolves_at == course.recovered


def test_containers_are_expected_only_where_there_are_some() -> None:
    course = Course(_AT, _AT + MINUTE)

    names = [alert.policy for alert in expected_alerts(course, None)]
    assert "container-restarts" not in names
    (restarts,) = (a for a in expected_alerts(course, "c1") if a.policy == "container-restarts")
    assert restarts.matches("container-restarts", {"container": "c1", "host": "demo"})
    assert not restarts.matches("container-restarts", {"container": "c2"})


def test_what_was_not_expected_is_named() -> None:
    expected = expected_alerts(Course(_AT, _AT + MINUTE), None)
    fired = [
        ("failed-simulations", {"service": "sim-runner", "severity": "critical"}),
        ("request-timeouts", {"service": "files", "route": "files"}),
    ]

    assert unexpected(fired, expected) == ["request-timeouts files"]


def test_a_subject_says_a_name_once() -> None:
    assert subject({"service": "admin", "route": "admin", "source": "x"}) == "admin"
    assert subject({"service": "sim-runner", "route": "simulations"}) == "sim-runner simulations"
