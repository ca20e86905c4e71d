"""monitoring.status: what is covered, missing, late and stale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from monitoring.evaluation_gap import catch_up_evaluation
from monitoring.status import read_status
from monitoring.window import Window
from sqlalchemy import insert

from tests.monitoring.facts import T0, cover
from userdb.ledger import CollectionReport, Rejected, SourceReport, record
from userdb.models import Alert, Delivery, Evaluation, PolicyState, PolicyVersion
from userdb.store import Store
from userdb.times import from_minute, to_minute

NOW = datetime(2026, 3, 1, 12, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEFINITION = {
    "kind": "threshold",
    "signal": "requests.timeout_ratio",
    "window": "30m",
    "condition": "> 0.1",
}


def collected(store: Store, start: datetime, end: datetime, *sources: SourceReport) -> None:
    report = CollectionReport(
        collector="request_logs",
        start=start,
        end=end,
        sources=sources,
        started_at=end,
        duration_s=0.1,
    )
    store.write(lambda connection: record(connection, report, "request", "run"))


def ok(source: str = "gateway", **counts: Any) -> SourceReport:
    return SourceReport(source, "ok", **counts)


def test_nothing_collected_is_all_missing(store: Store) -> None:
    (collector,) = read_status(store, now=NOW, collectors=["request_logs"]).collectors
    assert collector.last_ok is None
    assert collector.covered_share == 0
    # up to the newest quarter of an hour, whose run may be under way
    assert collector.missing == (Window(NOW - 24 * HOUR, NOW - timedelta(minutes=15)),)


def test_gaps_late_and_rejected_rows_are_listed(store: Store) -> None:
    start = NOW.replace(minute=0) - 24 * HOUR
    collected(store, start, start + 20 * HOUR, ok(rows=5, late=2, rejected=1))
    # the same window again: its rows count once
    again = ok(rows=5, late=2, rejected=1, samples=(Rejected("access.log:1", "no date"),))
    collected(store, start, start + 20 * HOUR, again)
    collected(store, start + 21 * HOUR, NOW.replace(minute=0), ok(late=1))
    (collector,) = read_status(store, now=NOW, collectors=["request_logs"]).collectors
    assert collector.missing == (Window(start + 20 * HOUR, start + 21 * HOUR),)
    assert collector.last_ok == Window(start + 21 * HOUR, NOW.replace(minute=0))
    # 24 hours up to now, less the two newest minutes that are not expected yet
    assert collector.covered_share == pytest.approx((24 * 60 - 2 - 60) / (24 * 60 - 2))
    assert (collector.late_rows, collector.rejected_rows) == (3, 1)
    assert collector.last_failure is None


def test_failed_source_is_told_and_its_attempt_is_not_ok(store: Store) -> None:
    start = NOW.replace(minute=0) - HOUR
    failed = SourceReport("edge", "failed", message="edge.log: no such file")
    collected(store, start, start + HOUR, ok(), failed)
    (collector,) = read_status(store, now=NOW, collectors=["request_logs"]).collectors
    assert collector.last_ok is None
    assert collector.covered_share == 0
    assert collector.last_failure is not None
    assert collector.last_failure.source == "edge"
    assert collector.last_failure.window == Window(start, start + HOUR)
    assert collector.last_failure.message == "edge.log: no such file"


def test_policies_and_deliveries(store: Store) -> None:
    def write(connection: Any) -> None:
        for policy, age, interval in (
            ("fresh", 10, "1m"),
            ("stale", 20, "1m"),
            ("slow", 50, "30m"),
        ):
            minute = to_minute(NOW) - age
            connection.execute(
                insert(PolicyState).values(policy=policy, family="request", watermark=minute)
            )
            connection.execute(
                insert(PolicyVersion).values(
                    policy=policy,
                    version=1,
                    definition={**DEFINITION, "name": policy, "evaluation_interval": interval},
                    effective_minute=0,
                    registered_at=NOW,
                )
            )
        connection.execute(insert(PolicyState).values(policy="gone", family="request"))
        connection.execute(
            insert(PolicyVersion).values(
                policy="gone", version=2, definition=None, effective_minute=0, registered_at=NOW
            )
        )
        for number, state in enumerate(("firing", "firing", "resolved")):
            connection.execute(
                insert(Alert).values(
                    id=str(number),
                    policy="fresh",
                    series_id=number,
                    labels={},
                    severity="error",
                    state=state,
                    active_at=NOW - HOUR,
                    annotations={},
                    policy_version=1,
                    recorded_at=NOW,
                )
            )
        for number, status in enumerate(("pending", "sending", "dead", "sent")):
            connection.execute(
                insert(Delivery).values(
                    kind="alerts",
                    context={},
                    id=str(number),
                    receiver="default",
                    group_key="g",
                    sequence=number,
                    status=status,
                    payload={},
                    attempts=0,
                    created_at=NOW,
                    next_attempt_at=NOW,
                )
            )

    store.write(write)
    status = read_status(store, now=NOW, collectors=[])
    assert [(one.policy, one.stale, one.firing) for one in status.policies] == [
        ("fresh", False, 2),
        ("slow", False, 0),
        ("stale", True, 0),
    ]
    assert (status.firing, status.pending_deliveries, status.dead_deliveries) == (2, 2, 1)
    assert status.revision


def test_password_is_hidden(store: Store) -> None:
    shown = read_status(store, now=NOW, collectors=[]).userdb
    password = store.url.url.password
    assert password is None or password not in shown


def test_evaluation_is_caught_up_to_where_the_last_run_stopped(store: Store) -> None:
    window = Window(NOW.replace(minute=0), NOW.replace(minute=0) + timedelta(minutes=2))
    first = window.first_minute
    day = timedelta(hours=24)
    assert catch_up_evaluation(window, store, max_catchup=day) == window

    def evaluated(policy: str, low: int, high: int) -> None:
        store.write(
            lambda connection: connection.execute(
                insert(Evaluation).values(policy=policy, first_minute=low, last_minute=high)
            )
        )

    evaluated("one", first - 60, first)
    assert catch_up_evaluation(window, store, max_catchup=day) == window
    evaluated("two", first - 90, first - 30)
    assert catch_up_evaluation(window, store, max_catchup=day) == window.extended(
        timedelta(minutes=30)
    )
    # longer ago than the limit: there is nothing to join up with
    evaluated("three", first - 3000, first - 2000)
    assert catch_up_evaluation(window, store, max_catchup=day).start == window.start - timedelta(
        minutes=30
    )


@pytest.mark.parametrize("newest", [1, 2, 1000])
def test_the_newest_success_is_found_however_far_back_it_lies(sqlite_store, monkeypatch, newest):
    monkeypatch.setattr("monitoring.status._NEWEST", newest)
    cover(sqlite_store, T0, T0 + 5)
    for minute in range(5, 20, 5):
        cover(sqlite_store, T0 + minute, T0 + minute + 5, status="failed")
    status = read_status(sqlite_store, now=from_minute(T0 + 20), collectors=["request_logs"])
    assert status.collectors[0].last_ok == Window.of_minutes(T0, T0 + 5)
