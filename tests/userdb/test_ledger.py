"""Coverage: monotone, blind to the order of attempts; and dirty where it may have changed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select

from userdb.ledger import (
    CollectionReport,
    Rejected,
    SourceReport,
    covered_minutes,
    mark_dirty,
    record,
    spans,
)
from userdb.models import Collection, Dirty, PolicyState
from userdb.store import Store
from userdb.times import from_minute

AT = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
SIZE = 12


def _report(first: int, stop: int, statuses: dict[str, str], **changes: str) -> CollectionReport:
    return CollectionReport(
        collector="request_logs",
        start=from_minute(first),
        end=from_minute(stop),
        sources=tuple(SourceReport(name, status) for name, status in statuses.items()),
        started_at=AT,
        duration_s=0.5,
        **changes,
    )


def _record(store: Store, *reports: CollectionReport) -> None:
    def work(connection: Connection) -> None:
        for report in reports:
            record(connection, report, "request", None)

    store.write(work)


def _covered(store: Store, collector: str = "request_logs") -> list[int]:
    with store.read() as connection:
        return np.flatnonzero(covered_minutes(connection, collector, 0, SIZE)).tolist()


def _with_policies(store: Store, **families: str) -> None:
    rows = [{"policy": policy, "family": family} for policy, family in families.items()]
    store.write(lambda connection: connection.execute(insert(PolicyState), rows))


def _dirty(store: Store) -> list[tuple[str, int, int]]:
    with store.read() as connection:
        rows = connection.execute(
            select(Dirty.policy, Dirty.first_minute, Dirty.last_minute).order_by(
                Dirty.policy, Dirty.first_minute
            )
        )
        return [(row.policy, row.first_minute, row.last_minute) for row in rows]


def test_a_minute_is_covered_when_every_source_of_an_attempt_was_collected(store: Store) -> None:
    _record(store, _report(0, 5, {"a": "ok", "b": "failed"}))
    assert _covered(store) == []
    _record(store, _report(2, 7, {"b": "ok"}))  # b alone was configured then
    assert _covered(store) == [2, 3, 4, 5, 6]
    _record(store, _report(0, 5, {"a": "unavailable", "b": "failed"}))
    assert _covered(store) == [2, 3, 4, 5, 6]
    assert _covered(store, "container_stats") == []


def test_windows_are_cut_to_the_range_asked_for(store: Store) -> None:
    _record(store, _report(3, 9, {"a": "ok"}))
    with store.read() as connection:
        assert covered_minutes(connection, "request_logs", 5, 7).tolist() == [True, True]
        assert covered_minutes(connection, "request_logs", 8, 11).tolist() == [True, False, False]
        assert covered_minutes(connection, "request_logs", 0, 3).tolist() == [False] * 3
        assert covered_minutes(connection, "request_logs", 9, 9).shape == (0,)


def test_a_report_is_kept_whole(store: Store) -> None:
    source = SourceReport(
        "gateway",
        "ok",
        rows=5,
        rejected=12,
        late=1,
        samples=tuple(Rejected(f"log:{n}", "no JSON", "caf\udce9 😀") for n in range(12)),
        message="caf\udce9",
    )
    report = CollectionReport("request_logs", AT, AT + timedelta(minutes=5), (source,), AT, 0.5)
    store.write(lambda connection: record(connection, report, "request", "run 1"))
    with store.read() as connection:
        row = connection.execute(select(Collection.__table__)).mappings().one()
    assert (row["row_count"], row["rejected"], row["late"], row["run_id"]) == (5, 12, 1, "run 1")
    assert row["samples"] == [
        {"where": f"log:{n}", "why": "no JSON", "text": "caf\\udce9 😀"} for n in range(10)
    ]
    assert row["message"] == "caf\\udce9"
    assert row["window_start"] == AT
    assert report.ok
    assert (report.rows, report.rejected, report.late) == (5, 12, 1)


def test_a_report_without_sources_covers_nothing(store: Store) -> None:
    _record(store, _report(0, 5, {}))
    assert _covered(store) == []


STATUSES = st.sampled_from(["ok", "failed", "unavailable"])
WINDOWS = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).filter(lambda w: w[0] < w[1])
ATTEMPTS = st.lists(
    st.tuples(WINDOWS, st.dictionaries(st.sampled_from("abc"), STATUSES, min_size=1)), max_size=8
)


def _expected(attempts: list[tuple[tuple[int, int], dict[str, str]]]) -> list[int]:
    """Coverage as the ledger's docstring defines it, a minute at a time."""
    return [
        minute
        for minute in range(SIZE)
        if any(
            start <= minute < stop
            and all(
                any(
                    at <= minute < end and others.get(source) == "ok"
                    for (at, end), others in attempts
                )
                for source in statuses
            )
            for (start, stop), statuses in attempts
        )
    ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(attempts=ATTEMPTS, seed=st.randoms(use_true_random=False))
def test_coverage_grows_and_is_blind_to_order(
    sqlite_store: Store, attempts: list[tuple[tuple[int, int], dict[str, str]]], seed: random.Random
) -> None:
    def clear(connection: Connection) -> None:
        connection.execute(delete(Collection))
        connection.execute(delete(Dirty))
        connection.execute(delete(PolicyState))

    sqlite_store.write(clear)
    _with_policies(sqlite_store, p="request")
    before: set[int] = set()
    for (first, stop), statuses in attempts:
        _record(sqlite_store, _report(first, stop, statuses))
        after = set(_covered(sqlite_store))
        assert before <= after
        dirty = {m for _, low, high in _dirty(sqlite_store) for m in range(low, high + 1)}
        assert after <= dirty
        before = after
    in_order = _covered(sqlite_store)
    assert in_order == _expected(attempts)
    shuffled = seed.sample(attempts, len(attempts))
    sqlite_store.write(clear)
    for (first, stop), statuses in shuffled:
        _record(sqlite_store, _report(first, stop, statuses))
    assert _covered(sqlite_store) == in_order


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(attempts=ATTEMPTS, wider=st.integers(0, 3), seed=st.randoms(use_true_random=False))
def test_parts_of_an_attempt_cover_what_it_would_as_a_whole_and_nothing_before(
    sqlite_store: Store,
    attempts: list[tuple[tuple[int, int], dict[str, str]]],
    wider: int,
    seed: random.Random,
) -> None:
    """``lost`` parts never come; parts may be for windows that begin earlier than the others'."""
    sqlite_store.write(lambda connection: connection.execute(delete(Collection)))
    parts = [
        (max(first - wider * (source == "a"), 0), stop, number, source, status)
        for number, ((first, stop), statuses) in enumerate(attempts)
        for source, status in statuses.items()
    ]
    told = [part for part in parts if seed.random() < 0.8]
    expected = _expected(
        [
            ((first, stop), {source: status, **dict.fromkeys(others, "awaited")})
            for first, stop, number, source, status in told
            for others in [set(attempts[number][1]) - {source}]
        ]
    )
    for first, stop, number, source, status in seed.sample(told, len(told)):
        assert set(_covered(sqlite_store)) <= set(expected)
        report = _report(first, stop, {source: status}, attempt=f"attempt {number}")
        others = set(attempts[number][1]) - {source}
        sqlite_store.write(
            lambda connection, report=report, others=others: record(
                connection, report, "request", None, awaited=others
            )
        )
    assert _covered(sqlite_store) == expected


def test_marks_go_to_the_policies_of_the_family_as_spans(store: Store) -> None:
    _with_policies(store, p="request", q="request", other="container")
    store.write(lambda connection: mark_dirty(connection, "request", [7, 3, 4, 4, 9, 8]))
    assert _dirty(store) == [("p", 3, 4), ("p", 7, 9), ("q", 3, 4), ("q", 7, 9)]
    store.write(lambda connection: mark_dirty(connection, "request", []))
    store.write(lambda connection: mark_dirty(connection, "event", [1]))
    assert len(_dirty(store)) == 4


def test_marks_take_numpy_integers(store: Store) -> None:
    _with_policies(store, p="request")
    store.write(lambda connection: mark_dirty(connection, "request", list(np.arange(3, 5))))
    assert _dirty(store) == [("p", 3, 4)]


def test_coverage_that_does_not_change_marks_nothing(store: Store) -> None:
    _with_policies(store, p="request")
    _record(store, _report(0, 5, {"a": "ok"}))
    assert _dirty(store) == [("p", 0, 4)]
    _record(store, _report(0, 5, {"a": "ok"}), _report(0, 5, {"a": "failed"}))
    assert _dirty(store) == [("p", 0, 4)]
    _record(store, _report(3, 8, {"a": "ok"}))
    assert _dirty(store) == [("p", 0, 4), ("p", 5, 7)]


def test_attempts_at_once_that_cover_only_together_leave_a_mark(store: Store) -> None:
    """Either transaction sees the ledger as it was before both."""
    _with_policies(store, p="request")
    _record(store, _report(0, 5, {"a": "ok", "b": "failed"}))
    assert _covered(store) == []
    assert _dirty(store) == [("p", 0, 4)]


def test_spans() -> None:
    assert spans([]) == []
    assert spans([5]) == [(5, 5)]
    assert spans([3, 1, 2, 7, 7]) == [(1, 3), (7, 7)]
