"""Urgent events run the chain at once: one run at a time, with the window that it needs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from monitoring.intake import Bounds, accept_events
from monitoring.intake.airflow_runs import ChainRuns, RestRuns, Run
from monitoring.intake.urgent import PREFIX, UrgentRuns, describe, is_urgent, next_window
from monitoring.policy.kinds import parse_policy
from sqlalchemy import update

from userdb.events import EventRecord
from userdb.ledger import CollectionReport, SourceReport, record
from userdb.models import MonitorEvent
from userdb.store import Store
from userdb.times import to_minute

NOW = datetime(2026, 3, 1, 10, 3, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BASE = NOW.replace(minute=0, second=0)


@dataclass
class FakeRuns:
    """An Airflow that takes each id once, and whose runs end when the test says so."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    most_active: int = 0
    fails: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def newest(self, prefix: str) -> Run | None:
        with self._lock:
            if self.fails:
                self.fails -= 1
                raise ConnectionError("Airflow is away")
            ids = [name for name in self.runs if name.startswith(prefix)]
            return Run(ids[-1], self.runs[ids[-1]]["active"]) if ids else None

    def trigger(self, run_id: str, conf: Mapping[str, Any], run_after: datetime) -> bool:
        with self._lock:
            if run_id in self.runs:
                return False
            self.runs[run_id] = {"conf": dict(conf), "run_after": run_after, "active": True}
            active = sum(one["active"] for one in self.runs.values())
            self.most_active = max(self.most_active, active)
            return True

    def end_all(self) -> None:
        with self._lock:
            for one in self.runs.values():
                one["active"] = False

    def windows(self) -> list[tuple[str, str]]:
        with self._lock:
            return [
                (one["conf"]["window_start"][11:16], one["conf"]["window_end"][11:16])
                for one in self.runs.values()
            ]


def urgent_of(runs: ChainRuns | None) -> UrgentRuns:
    return UrgentRuns(lambda: runs, clock=lambda: NOW, poll_s=0.02)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stored(store: Store, *minutes: float, level: str = "critical") -> tuple[EventRecord, ...]:
    """Events that were accepted, so many minutes after 10:00."""
    sent = [
        {"message": "m", "level": level, "occurred_at": (BASE + at * MINUTE).isoformat()}
        for at in minutes
    ]
    return accept_events(store, sent, now=NOW, bounds=Bounds(), source="t").new


def collected(store: Store, start: int, stop: int) -> None:
    """Cover the minutes [start, stop) after 10:00, as a run of the chain does."""
    low, high = BASE + start * MINUTE, BASE + stop * MINUTE

    def work(connection: Any) -> None:
        for collector, family in (
            ("gateway_exceptions", "event"),
            ("request_logs", "request"),
            ("container_stats", "container"),
        ):
            sources = (SourceReport("s", "ok"),)
            report = CollectionReport(collector, low, high, sources, NOW, 0.1)
            record(connection, report, family, None)
        table = MonitorEvent
        connection.execute(update(table).where(table.occurred_at < high).values(rolled_up=True))

    store.write(work)


# --- which events ---------------------------------------------------------------------------------


def policy(**fields: Any) -> Any:
    given = {"name": "p", "signal": "events.count", "condition": "> 0", "urgent": True, **fields}
    return parse_policy(given)


@pytest.mark.parametrize(
    ("level", "policies", "expected"),
    [
        ("critical", [], True),
        ("error", [], False),
        ("error", [policy(where={"service": "sim-*"})], True),
        ("error", [policy(where={"service": ["a", "sim-?"], "level": "error"})], True),
        ("error", [policy(where={"service": "sim-*"}, urgent=False)], False),
        ("error", [policy(where={"service": "other"}), policy(where={"instance": "x"})], False),
        ("error", [policy(where={"instance": ""})], True),
    ],
)
def test_critical_ones_and_those_that_an_urgent_policy_counts(
    sqlite_store: Store, level: str, policies: list[Any], expected: bool
) -> None:
    sent = {"message": "m", "level": level, "service": "sim-7"}
    (event,) = accept_events(sqlite_store, [sent], now=NOW, bounds=Bounds(), source="t").new
    assert is_urgent(event, policies) is expected


def test_only_policies_over_events_can_be_urgent() -> None:
    with pytest.raises(ValueError, match=r"urgent is for signals of events.*requests\.count"):
        policy(signal="requests.count")


# --- which window ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("covered", "minutes", "expected"),
    [
        ((-5, 0), (3,), (0, 4, {3})),  # from where the schedule's run ended
        ((-5, 3), (3,), (3, 4, {3})),
        ((-5, 5), (3,), (3, 4, {3})),  # a late event: its own minute alone
        ((-60, -30), (3,), (3, 4, {3})),  # too long ago to be made up for
        ((-5, 0), (1, 2, 3), (0, 4, {1, 2, 3})),
        ((-5, 0), (1, 3), (0, 2, {1})),  # the next run is for the rest
    ],
)
def test_a_window_ends_with_the_events_minute_and_begins_where_collection_ended(
    store: Store, covered: tuple[int, int], minutes: tuple[int, ...], expected: Any
) -> None:
    collected(store, *covered)
    first = to_minute(BASE)
    window, taken = next_window([first + one for one in minutes], store)
    start, end, served = expected
    assert (window.first_minute - first, window.stop_minute - first) == (start, end)
    assert {one - first for one in taken} == served


# --- runs -----------------------------------------------------------------------------------------


def test_a_critical_event_triggers_one_run_that_begins_when_its_minute_is_over(
    sqlite_store: Store,
) -> None:
    collected(sqlite_store, -5, 0)
    runs = FakeRuns()
    urgent = urgent_of(runs)
    urgent.notice(sqlite_store, stored(sqlite_store, 2.9, level="error"))
    urgent.notice(sqlite_store, stored(sqlite_store, 3.1, 3.2))
    wait(lambda: bool(runs.runs))
    assert runs.windows() == [("10:00", "10:04")]
    (run,) = runs.runs.values()
    assert run["run_after"] == BASE + 4 * MINUTE
    assert list(runs.runs) == [f"{PREFIX}00000001"]


def test_one_run_at_a_time_and_those_that_come_meanwhile_are_not_forgotten(
    sqlite_store: Store,
) -> None:
    collected(sqlite_store, -5, 0)
    runs = FakeRuns()
    urgent = urgent_of(runs)
    urgent.notice(sqlite_store, stored(sqlite_store, 1))
    wait(lambda: len(runs.runs) == 1)
    urgent.notice(sqlite_store, stored(sqlite_store, 2, 3))
    time.sleep(0.3)
    assert len(runs.runs) == 1
    collected(sqlite_store, 0, 2)
    runs.end_all()
    wait(lambda: len(runs.runs) == 2)
    assert runs.windows() == [("10:00", "10:02"), ("10:02", "10:04")]


def test_what_another_run_has_counted_meanwhile_needs_none(sqlite_store: Store) -> None:
    runs = FakeRuns()
    urgent = urgent_of(runs)
    urgent.notice(sqlite_store, stored(sqlite_store, 1))
    wait(lambda: len(runs.runs) == 1)
    urgent.notice(sqlite_store, stored(sqlite_store, 2))
    collected(sqlite_store, -5, 3)
    runs.end_all()
    time.sleep(0.3)
    assert len(runs.runs) == 1


def test_any_number_of_processes_have_one_run_in_flight(sqlite_store: Store) -> None:
    runs = FakeRuns()
    several = [urgent_of(runs) for _ in range(6)]
    for at, urgent in enumerate(several):
        urgent.notice(sqlite_store, stored(sqlite_store, -at * 2))
    for done in range(6):
        wait(lambda done=done: len(runs.runs) > done)  # type: ignore[misc]
        time.sleep(0.05)
        runs.end_all()
    assert runs.most_active == 1
    assert sorted(end for _, end in runs.windows()) == [
        f"{(BASE + (1 - 2 * at) * MINUTE):%H:%M}" for at in reversed(range(6))
    ]


def test_an_airflow_that_is_away_is_tried_again(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    runs = FakeRuns(fails=5)
    urgent = urgent_of(runs)
    urgent.notice(sqlite_store, stored(sqlite_store, 1))
    wait(lambda: bool(runs.runs))
    said = [one for one in caplog.records if "Airflow is away" in one.getMessage()]
    assert len(said) == 1, "the same trouble is logged once"


def test_without_an_airflow_it_says_so_once_and_nothing_waits(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    urgent = urgent_of(None)
    for at in range(3):
        urgent.notice(sqlite_store, stored(sqlite_store, at))
    wait(lambda: any("MONITORING_AIRFLOW_URL" in one.getMessage() for one in caplog.records))
    time.sleep(0.1)
    assert sum("MONITORING_AIRFLOW_URL" in one.getMessage() for one in caplog.records) == 1
    assert "MONITORING_AIRFLOW_URL" in describe(None)
    assert describe(RestRuns("http://air:8080", "u", "pa55")).endswith("http://air:8080")


def test_policies_are_read_from_their_folder(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(
        "policies: [{name: p, signal: events.count, condition: '> 0', urgent: true}]"
    )
    monkeypatch.setenv("MONITORING_POLICIES", str(tmp_path / "policies"))
    runs = FakeRuns()
    urgent_of(runs).notice(sqlite_store, stored(sqlite_store, 1, level="info"))
    wait(lambda: bool(runs.runs))
