"""What nodes push: each item once, counted, and covered as far as the node says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select

from include.collectors.nodes.push import Pushed, push_containers, push_requests
from include.collectors.nodes.wire import (
    ContainerRow,
    Covered,
    Malformed,
    MinuteRow,
    RequestRow,
)
from userdb.latency import LATENCY_COLUMNS
from userdb.ledger import (
    CollectionReport,
    SourceReport,
    collected_minutes,
    family_covered,
    record,
)
from userdb.models import (
    Base,
    Collection,
    ContainerSample,
    Dirty,
    PolicyState,
    RequestLog,
    RequestMinute,
    Series,
)
from userdb.retention import purge
from userdb.store import Store
from userdb.times import to_minute

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 1, 11, 55, tzinfo=UTC)
FIRST = to_minute(START)


def row(mark: str, seconds: float = 0, status: int = 200, **given: Any) -> RequestRow:
    at = START + timedelta(seconds=seconds)
    return RequestRow(id=mark, occurred_at=at, status=status, service="sim", **given)


def minute(at: int = 0, **counts: Any) -> MinuteRow:
    counts = {"ok": 3, "timeout": 1, **counts}
    return MinuteRow(
        minute=START + at * MINUTE, service="sim", requests=sum(counts.values()), **counts
    )


def sample(at: int = 0, **given: Any) -> ContainerRow:
    values = {"container": "worker", "container_id": "c1", "state": "running", **given}
    return ContainerRow(observed_at=START + at * MINUTE + timedelta(seconds=10), **values)


def covered(first: int, stop: int) -> Covered:
    return Covered.model_validate({"from": START + first * MINUTE, "to": START + stop * MINUTE})


def outcomes(pushed: Pushed, name: str) -> list[str]:
    return list(pushed.tallies[name].outcomes)


def counts(store: Store) -> dict[int, tuple[int, int, int]]:
    """Minute to requests, ok and timeouts, as readers sum them."""
    table = RequestMinute
    with store.read() as connection:
        rows = connection.execute(
            select(
                table.minute, func.sum(table.requests), func.sum(table.ok), func.sum(table.timeout)
            )
            .group_by(table.minute)
            .order_by(table.minute)
        )
        return {row[0] - FIRST: (int(row[1]), int(row[2]), int(row[3])) for row in rows}


def watch(store: Store) -> None:
    rows = [{"policy": family, "family": family} for family in ("request", "container")]
    store.write(lambda connection: connection.execute(insert(PolicyState), rows))


def dirty(store: Store) -> set[int]:
    with store.read() as connection:
        spans = connection.execute(select(Dirty.first_minute, Dirty.last_minute)).all()
    return {at - FIRST for low, high in spans for at in range(low, high + 1)}


def test_a_batch_sent_twice_is_stored_and_counted_once(store: Store) -> None:
    watch(store)
    rows = [row("a", 1), row("b", 2, 504, duration_ms=60_000.5), row("c", 61), row("a", 1)]
    first = push_requests(store, "gw-1", rows=rows, covered=covered(0, 3), now=NOW)
    assert outcomes(first, "requests") == ["stored", "stored", "stored", "repeated"]
    assert dirty(store) == {0, 1, 2}
    store.write(lambda connection: connection.execute(delete(Dirty)))
    again = push_requests(store, "gw-1", rows=rows, covered=covered(0, 3), now=NOW)
    assert outcomes(again, "requests") == ["repeated"] * 4
    assert counts(store) == {0: (2, 1, 1), 1: (1, 1, 0)}
    assert dirty(store) == set()
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(RequestLog)) == 3
        assert connection.scalar(select(func.count()).select_from(Collection)) == 1
        buckets = connection.execute(
            select(RequestMinute.le_inf, RequestMinute.latency_count, RequestMinute.latency_max_ms)
        ).all()
        labels = connection.scalars(select(Series.labels)).all()
    assert buckets[0] == (1, 1, 60_000.5)
    assert labels == [{"service": "sim", "source": "gw-1"}]


def test_batches_that_overlap_at_the_same_time_count_each_row_once(store: Store) -> None:
    def push(at: int) -> Pushed:
        rows = [row(str(number), number) for number in range(at * 10, at * 10 + 30)]
        samples = [sample(container=f"w{number}") for number in range(at, at + 3)]
        push_containers(store, "gw-1", rows=samples, now=NOW)
        return push_requests(store, "gw-1", rows=rows, now=NOW)

    with ThreadPoolExecutor(4) as pool:
        pushed = list(pool.map(push, [0, 1, 2, 1, 0, 2]))
    assert sum(one.tallies["requests"].count("stored") for one in pushed) == 50
    assert sum(total for total, _, _ in counts(store).values()) == 50
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(ContainerSample)) == 5


def test_one_item_that_is_wrong_costs_none_of_the_others(store: Store) -> None:
    rows = [
        row("a"),
        Malformed(field="status", message="Input should be a valid integer"),
        row("old", -86_400),
        row("future", 900),
    ]
    pushed = push_requests(store, "gw-1", rows=rows, minutes=[minute(30)], now=NOW)
    assert outcomes(pushed, "requests") == ["stored", "rejected", "rejected", "rejected"]
    found = [(one.index, one.id, one.field) for one in pushed.tallies["requests"].rejected]
    assert found == [(1, None, "status"), (2, "old", "occurred_at"), (3, "future", "occurred_at")]
    assert "correct the clock" in pushed.tallies["requests"].rejected[2].message
    assert outcomes(pushed, "minutes") == ["rejected"]
    assert counts(store) == {0: (1, 1, 0)}


def test_what_lies_before_the_retention_floor_is_refused(store: Store) -> None:
    for table in ("request_minute", "container_sample"):
        purge(store, before=START + 2 * MINUTE, tables=[table])
    pushed = push_requests(
        store, "gw-1", rows=[row("a"), row("b", 121)], minutes=[minute(1), minute(3)], now=NOW
    )
    assert outcomes(pushed, "requests") == ["rejected", "stored"]
    assert outcomes(pushed, "minutes") == ["rejected", "stored"]
    assert "was purged" in pushed.tallies["minutes"].rejected[0].message
    boxes = push_containers(store, "gw-1", rows=[sample(1), sample(2)], now=NOW)
    assert outcomes(boxes, "containers") == ["rejected", "stored"]


def test_a_minute_that_is_stated_again_replaces_what_was_stated(store: Store) -> None:
    watch(store)
    assert outcomes(push_requests(store, "gw-1", minutes=[minute(), minute()], now=NOW), "minutes")
    assert counts(store) == {0: (4, 3, 1)}
    store.write(lambda connection: connection.execute(delete(Dirty)))
    again = push_requests(store, "gw-1", minutes=[minute()], now=NOW)
    assert (outcomes(again, "minutes"), dirty(store)) == (["repeated"], set())
    late = push_requests(store, "gw-1", minutes=[minute(ok=5)], now=NOW)
    assert (outcomes(late, "minutes"), dirty(store)) == (["stored"], {0})
    assert counts(store) == {0: (6, 5, 1)}


PUSHES = st.lists(
    st.one_of(
        st.tuples(st.just("row"), st.integers(0, 5), st.integers(0, 2)),
        st.tuples(st.just("minute"), st.integers(1, 3), st.integers(0, 2)),
    ),
    max_size=12,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pushes=PUSHES)
def test_minutes_that_are_stated_count_as_stated_whatever_rows_came_before_or_after(
    sqlite_store: Store, pushes: list[tuple[str, int, int]]
) -> None:
    def clear(connection: Any) -> None:
        for table in (RequestLog, RequestMinute):
            connection.execute(delete(table))

    sqlite_store.write(clear)
    stated: dict[int, int] = {}
    rows: dict[int, set[int]] = {}
    for kind, number, at in pushes:
        if kind == "row":
            push_requests(sqlite_store, "gw-1", rows=[row(f"{number}", 60 * at + 1)], now=NOW)
            rows.setdefault(at, set()).add(number)
        else:
            one = minute(at, ok=number, timeout=0)
            push_requests(sqlite_store, "gw-1", minutes=[one], now=NOW)
            stated[at] = number
    expected = {at: len(found) for at, found in rows.items()} | stated
    assert {at: total for at, (total, _, _) in counts(sqlite_store).items()} == expected
    with sqlite_store.read() as connection:
        kept = connection.scalar(select(func.count()).select_from(RequestLog))
    assert kept == sum(map(len, rows.values()))


def test_a_sample_is_stored_once_and_the_first_of_a_minute_counts(store: Store) -> None:
    watch(store)
    first = push_containers(
        store,
        "gw-1",
        rows=[sample(0, cpu_total_ns=10**9, cpu_system_ns=10**10, online_cpus=2, restarts=1)],
        covered=covered(0, 1),
        now=NOW,
    )
    second = push_containers(
        store,
        "gw-1",
        rows=[
            sample(1, cpu_total_ns=2 * 10**9, cpu_system_ns=2 * 10**10, online_cpus=2, restarts=3),
            sample(0, cpu_total_ns=10**9),
            sample(0, container_id="c2"),
            sample(2, container="db", host="worker-9", cpu_percent=12.5, restarts_delta=1),
            sample(3, minute=START + 10 * MINUTE),
        ],
        now=NOW,
    )
    assert outcomes(first, "containers") == ["stored"]
    assert outcomes(second, "containers") == [
        "stored",
        "repeated",
        "rejected",
        "stored",
        "rejected",
    ]
    assert "the first counts" in second.tallies["containers"].rejected[0].message
    assert dirty(store) == {0, 1, 2}
    with store.read() as connection:
        rows = connection.execute(
            select(
                ContainerSample.minute, ContainerSample.cpu_percent, ContainerSample.restarts_delta
            ).order_by(ContainerSample.minute)
        ).all()
        hosts = [labels["host"] for labels in connection.scalars(select(Series.labels))]
        covers = family_covered(connection, "container", FIRST, FIRST + 3)
    # one of ten seconds of two CPUs; two restarts more than before
    assert [(at - FIRST, cpu, more) for at, cpu, more in rows] == [
        (0, None, None),
        (1, 20.0, 2),
        (2, 12.5, 1),
    ]
    assert sorted(hosts) == ["gw-1", "worker-9"]
    assert covers.tolist() == [True, False, False]


def covers(store: Store, family: str = "request") -> list[int]:
    with store.read() as connection:
        return np.flatnonzero(family_covered(connection, family, FIRST, FIRST + 6)).tolist()


def test_only_what_a_node_says_it_covers_is_covered_and_never_the_future(store: Store) -> None:
    push_requests(store, "gw-1", rows=[row("a")], now=NOW)
    assert covers(store) == []
    pushed = push_requests(store, "gw-1", covered=covered(3, 8), now=NOW)
    assert pushed.covered is not None
    assert pushed.covered.end == NOW.replace(second=0)
    assert covers(store) == [3, 4]
    for wrong in (covered(3, 11), covered(-24 * 60, 5), covered(-31 * 24 * 60, -30 * 24 * 60)):
        refused = push_requests(store, "gw-1", rows=[row("b")], covered=wrong, now=NOW)
        assert (refused.covered, bool(refused.refused)) == (None, True)
    assert counts(store) == {0: (2, 2, 0)}
    assert covers(store) == [3, 4]


def test_where_nodes_are_expected_a_minute_is_covered_when_each_has_covered_it(
    store: Store,
) -> None:
    watch(store)
    push_requests(store, "gw-1", covered=covered(0, 4), expected=["gw-1", "gw-2"], now=NOW)
    assert covers(store) == []
    store.write(lambda connection: connection.execute(delete(Dirty)))
    push_requests(store, "gw-2", covered=covered(1, 3), expected=["gw-1", "gw-2"], now=NOW)
    assert covers(store) == [1, 2]
    assert dirty(store) >= {1, 2}


def test_a_minute_is_known_only_where_those_who_measure_here_know_it_too(store: Store) -> None:
    watch(store)

    def collected(first: int, stop: int, status: str) -> None:
        report = CollectionReport(
            collector="request_logs",
            start=START + first * MINUTE,
            end=START + stop * MINUTE,
            sources=(SourceReport("gateway", status),),
            started_at=NOW,
            duration_s=0.1,
        )
        store.write(lambda connection: record(connection, report, "request", None))

    push_requests(store, "gw-1", covered=covered(0, 3), now=NOW)
    assert covers(store) == [0, 1, 2]
    store.write(lambda connection: connection.execute(delete(Dirty)))
    collected(1, 5, "failed")
    assert covers(store) == [0]
    assert dirty(store) == {1, 2}
    collected(2, 5, "ok")
    assert covers(store) == [0, 2, 3, 4]
    with store.read() as connection:
        own = collected_minutes(connection, "push.request", FIRST, FIRST + 6)
    assert np.flatnonzero(own["gw-1"]).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"requests": 5}, "outcomes add up to 4"),
        ({"latency_count": 2}, "sum of latency_buckets"),
        ({"latency_buckets": [1]}, "14"),
        ({"minute": START + timedelta(seconds=1)}, "whole minute"),
        ({"minute": datetime(1, 1, 1, tzinfo=UTC)}, "out of range"),
        ({"ok": -1}, "greater than or equal"),
        ({"statuss": 1}, "statuss"),
    ],
)
def test_a_minute_that_does_not_add_up_is_refused(given: dict[str, Any], field: str) -> None:
    values = minute().model_dump(exclude={"source"}) | given
    with pytest.raises(ValueError, match=field):
        MinuteRow(**values)


def test_the_buckets_of_raw_rows_are_those_of_logs(sqlite_store: Store) -> None:
    rows = [row(str(ms), 1, duration_ms=ms) for ms in (0, 5, 5.1, 60_000, 60_000.1)]
    push_requests(sqlite_store, "gw-1", rows=rows, now=NOW)
    table = Base.metadata.tables["request_minute"]
    with sqlite_store.read() as connection:
        found = connection.execute(select(*(table.c[name] for name in LATENCY_COLUMNS))).one()
    assert found == (2, 1, *[0] * 10, 1, 1)
