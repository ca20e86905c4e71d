"""What the collector makes of what runtimes say: rows, series, ledger and dirty minutes.

The runtimes here say what a test tells them to; real ones are in test_docker_engine.py.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from monitoring.window import Window
from sqlalchemy import insert, select

from include.collectors.container_stats.collector import ContainerStatsCollector
from include.collectors.container_stats.runtime import (
    Container,
    CpuCounters,
    Listing,
    Period,
    Usage,
)
from include.collectors.container_stats.settings import ContainerStatsSettings, EngineHost
from userdb.errors import CollectionError
from userdb.ledger import CollectionReport, Part, Rejected, covered_minutes
from userdb.models import Collection, ContainerSample, Dirty, PolicyState, Series
from userdb.store import Store

END = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CADENCE = timedelta(minutes=5)
WINDOW = Window(END - CADENCE, END)
LAST_MINUTE = WINDOW.stop_minute - 1
NOW = END + timedelta(seconds=20)


class Told:
    """A runtime that gives one answer, and counts how often it is asked."""

    def __init__(self, answer: Sequence[Container] | Listing | Exception = ()) -> None:
        self.answer = answer
        self.asked = 0

    def containers(self, period: Period | None = None) -> Listing:
        self.asked += 1
        self.period = period
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer if isinstance(self.answer, Listing) else Listing(tuple(self.answer))


def _collector(**runtimes: Told) -> ContainerStatsCollector:
    settings = ContainerStatsSettings(
        hosts=[EngineHost(name=name, url="unix:///nowhere") for name in runtimes]
    )
    return ContainerStatsCollector(settings, open_runtime=lambda host, _: runtimes[host.name])


def _container(name: str = "sim", *, cpu: tuple[int, int] = (0, 100), **changes: Any) -> Container:
    container = Container(
        container_id=f"id-of-{name}",
        name=name,
        image="sim:1",
        labels={"com.docker.compose.service": "engine"},
        state="running",
        restarts=0,
        read_after_s=0.5,
        created_at=END - timedelta(days=3),
        started_at=END - timedelta(days=3),
        usage=Usage(cpu=CpuCounters(*cpu, 2), memory_bytes=50, memory_limit_bytes=200, pids=3),
    )
    return replace(container, **changes)


def _rows(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(
            connection.execute(
                select(ContainerSample).order_by(
                    ContainerSample.minute, ContainerSample.container_id
                )
            )
        )


def _covered(store: Store, window: Window) -> list[bool]:
    with store.read() as connection:
        covered = covered_minutes(
            connection, "container_stats", window.first_minute, window.stop_minute
        )
    return [bool(value) for value in covered]


def _ledger(store: Store) -> list[tuple[Any, ...]]:
    with store.read() as connection:
        columns = (Collection.source, Collection.window_start, Collection.status, Collection.rows)
        return [tuple(row) for row in connection.execute(select(*columns).order_by(Collection.id))]


def _collect_again(
    collector: ContainerStatsCollector, store: Store, steps: int = 1
) -> CollectionReport:
    """Collect the window that lies ``steps`` cadences after WINDOW, in its time."""
    later = Window(WINDOW.start + steps * CADENCE, WINDOW.end + steps * CADENCE)
    return collector.collect(later, store, now=NOW + steps * CADENCE)


def _register_policy(store: Store, family: str) -> None:
    values = {"policy": f"p-{family}", "family": family}
    store.write(lambda connection: connection.execute(insert(PolicyState), [values]))


def test_a_sample_is_filed_in_the_last_minute_with_its_own_time(store: Store) -> None:
    usage = Usage(
        cpu=CpuCounters(7, 100, 2),
        memory_bytes=50,
        memory_limit_bytes=200,
        memory_percent=25.0,
        pids=3,
        network_rx_bytes=1,
        network_tx_bytes=2,
        block_read_bytes=3,
        block_write_bytes=4,
        throttled_periods=5,
        throttled_ns=2**60,
    )
    container = _container(usage=usage, health="unhealthy", failing_streak=4, restarts=9)
    report = _collector(local=Told([container])).collect(WINDOW, store, now=NOW, run_id="r")
    assert report.ok
    assert (report.start, report.end, report.rows) == (WINDOW.start, WINDOW.end, 1)
    (row,) = _rows(store)
    assert (row.minute, row.observed_at) == (LAST_MINUTE, NOW + timedelta(seconds=0.5))
    assert (row.state, row.running, row.health, row.unhealthy) == ("running", 1, "unhealthy", 1)
    assert (row.failing_streak, row.exit_code, row.restarts) == (4, None, 9)
    assert (row.memory_bytes, row.memory_limit_bytes, row.memory_percent) == (50, 200, 25.0)
    assert (row.network_rx_bytes, row.network_tx_bytes) == (1, 2)
    assert (row.block_read_bytes, row.block_write_bytes) == (3, 4)
    assert (row.throttled_periods, row.throttled_ns, row.pids) == (5, 2**60, 3)
    assert (row.cpu_total_ns, row.cpu_system_ns, row.online_cpus) == (7, 100, 2)
    assert row.cpu_percent is None, "there is nothing yet to take a difference to"
    with store.read() as connection:
        series = connection.execute(select(Series)).one()
    assert series.labels == {
        "container": "sim",
        "service": "engine",
        "image": "sim:1",
        "host": "local",
    }
    assert (series.first_minute, series.last_minute) == (LAST_MINUTE, LAST_MINUTE)
    assert _covered(store, WINDOW) == [True] * 5


def test_cpu_and_restarts_are_since_the_previous_sample(store: Store) -> None:
    runtime = Told([_container(cpu=(1_000, 10_000), restarts=2)])
    collector = _collector(local=runtime)
    collector.collect(WINDOW, store, now=NOW)
    runtime.answer = [_container(cpu=(4_000, 20_000), restarts=5)]
    _collect_again(collector, store)
    first, second = _rows(store)
    assert (first.cpu_percent, first.restarts_delta) == (None, None)
    assert (second.cpu_percent, second.restarts_delta) == (pytest.approx(60.0), 3)


def test_a_restart_drops_the_cpu_of_that_interval_alone(store: Store) -> None:
    """Even where the new counter has passed the old one already."""
    runtime = Told([_container(cpu=(1_000, 10_000))])
    collector = _collector(local=runtime)
    collector.collect(WINDOW, store, now=NOW)
    again = NOW + timedelta(minutes=1)
    runtime.answer = [_container(cpu=(4_000, 20_000), restarts=1, started_at=again)]
    _collect_again(collector, store)
    runtime.answer = [_container(cpu=(5_000, 30_000), restarts=1, started_at=again)]
    _collect_again(collector, store, steps=2)
    assert [row.cpu_percent for row in _rows(store)] == [None, None, pytest.approx(20.0)]
    assert [row.restarts_delta for row in _rows(store)] == [None, 1, 0]


def test_a_runtime_that_measures_twice_gives_the_first_share_at_once(store: Store) -> None:
    usage = Usage(cpu=CpuCounters(600, 2_000, 2), cpu_before=CpuCounters(100, 1_000, 2))
    _collector(local=Told([_container(usage=usage)])).collect(WINDOW, store, now=NOW)
    assert _rows(store)[0].cpu_percent == pytest.approx(100.0)


def test_a_replaced_container_counts_its_restarts_from_zero(store: Store) -> None:
    runtime = Told([_container(restarts=7, cpu=(1_000, 10_000))])
    collector = _collector(local=runtime)
    collector.collect(WINDOW, store, now=NOW)
    new: dict[str, Any] = {
        "container_id": "another",
        "created_at": NOW + MINUTE,
        "started_at": NOW + MINUTE,
    }
    runtime.answer = [_container(restarts=2, cpu=(9_000, 20_000), **new)]
    _collect_again(collector, store)
    assert _rows(store)[1].restarts_delta == 2
    assert _rows(store)[1].cpu_percent is None


def test_at_the_first_collection_only_new_containers_have_restarted_since(store: Store) -> None:
    containers = [
        _container("crashing", restarts=6, created_at=NOW - timedelta(minutes=3)),
        _container("veteran", restarts=57),
    ]
    _collector(local=Told(containers)).collect(WINDOW, store, now=NOW)
    assert {row.container_id: row.restarts_delta for row in _rows(store)} == {
        "id-of-crashing": 6,
        "id-of-veteran": None,
    }


def test_a_stopped_container_has_a_state_and_no_numbers(store: Store) -> None:
    stopped = _container(
        state="exited",
        usage=None,
        exit_code=137,
        oom_killed=True,
        finished_at=END - timedelta(minutes=2),
    )
    _collector(local=Told([stopped])).collect(WINDOW, store, now=NOW)
    (row,) = _rows(store)
    assert (row.state, row.running, row.unhealthy) == ("exited", 0, None)
    assert (row.exit_code, row.oom_killed) == (137, True)
    assert row.cpu_percent is row.memory_bytes is row.memory_percent is row.cpu_total_ns is None


def test_the_first_success_counts(store: Store) -> None:
    _register_policy(store, "container")
    runtime = Told([_container()])
    collector = _collector(local=runtime)
    collector.collect(WINDOW, store, now=NOW)
    rows = _rows(store)
    with store.read() as connection:
        tokens = connection.execute(select(Dirty)).all()
    runtime.answer = [_container(state="exited", usage=None), _container("new")]
    report = collector.collect(WINDOW, store, now=NOW + MINUTE)
    assert report.ok
    assert report.rows == 0
    assert "first success" in str(report.sources[0].message)
    assert runtime.asked == 1
    assert _rows(store) == rows
    with store.read() as connection:
        assert connection.execute(select(Dirty)).all() == tokens


def test_collecting_at_the_same_time_leaves_one_sample_each(store: Store) -> None:
    barrier = threading.Barrier(4)

    class Together(Told):
        def containers(self, period: Period | None = None) -> Listing:
            barrier.wait(30)
            return super().containers(period)

    containers = [_container(f"c{number}") for number in range(30)]
    # their series exist already: nobody waits for anybody to insert them
    before = Window(WINDOW.start - CADENCE, WINDOW.start)
    _collector(local=Told(containers)).collect(before, store, now=NOW - CADENCE)
    errors: list[Exception] = []

    def collect() -> None:
        try:
            _collector(local=Together(containers)).collect(WINDOW, store, now=NOW)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=collect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(_rows(store)) == 2 * 30
    assert sorted(row[3] for row in _ledger(store)) == [0, 0, 0, 30, 30]


def test_a_past_window_is_unavailable_and_touches_nothing(store: Store) -> None:
    _register_policy(store, "container")
    runtime = Told([_container()])
    report = _collector(local=runtime).collect(WINDOW, store, now=END + CADENCE + MINUTE)
    assert [source.status for source in report.sources] == ["unavailable"]
    assert "live state can't be collected for a past window" in str(report.sources[0].message)
    assert runtime.asked == 0
    assert _rows(store) == []
    assert _covered(store, WINDOW) == [False] * 5
    with store.read() as connection:
        assert connection.execute(select(Dirty)).all() == []


def test_one_cadence_after_the_end_is_in_time(store: Store) -> None:
    report = _collector(local=Told([_container()])).collect(WINDOW, store, now=END + CADENCE)
    assert report.ok
    assert len(_rows(store)) == 1


def test_a_sample_stands_for_one_cadence_of_a_long_window(store: Store) -> None:
    long = Window(END - timedelta(hours=1), END)
    report = _collector(local=Told([_container()])).collect(long, store, now=NOW)
    assert report.ok
    assert (report.start, report.end) == (END - CADENCE, END)
    assert _covered(store, long) == [False] * 55 + [True] * 5
    assert _ledger(store) == [
        ("local", long.start, "unavailable", 0),
        ("local", END - CADENCE, "ok", 1),
    ]


def test_a_host_that_fails_leaves_the_others_and_is_made_up_for(store: Store) -> None:
    good, bad = Told([_container()]), Told(CollectionError("the engine bad can't be reached"))
    collector = _collector(good=good, bad=bad)
    report = collector.collect(WINDOW, store, now=NOW)
    assert not report.ok
    assert [(s.source, s.status, s.rows) for s in report.sources] == [
        ("good", "ok", 1),
        ("bad", "failed", 0),
    ]
    assert "can't be reached" in str(report.sources[1].message)
    assert _covered(store, WINDOW) == [False] * 5
    bad.answer = [_container()]
    assert collector.collect(WINDOW, store, now=NOW + MINUTE).ok
    assert good.asked == 1
    assert _covered(store, WINDOW) == [True] * 5
    with store.read() as connection:
        hosts = [labels["host"] for labels in connection.scalars(select(Series.labels))]
    assert sorted(hosts) == ["bad", "good"]


def test_a_runtime_that_breaks_is_a_failed_source(store: Store) -> None:
    report = _collector(local=Told(RuntimeError("boom"))).collect(WINDOW, store, now=NOW)
    assert report.sources[0].message == (
        "the engine local at unix:///nowhere failed: RuntimeError: boom"
    )


def test_an_engine_without_containers_covers_its_window(store: Store) -> None:
    report = _collector(local=Told()).collect(WINDOW, store, now=NOW)
    assert report.ok
    assert report.rows == 0
    assert _covered(store, WINDOW) == [True] * 5


def test_without_hosts_containers_are_unknown(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    report = _collector().collect(WINDOW, store, now=NOW)
    assert report.sources == ()
    assert "container_stats has no hosts" in caplog.text
    assert _covered(store, WINDOW) == [False] * 5
    assert _ledger(store) == []


def test_rejected_containers_are_in_the_ledger(store: Store) -> None:
    gone = Rejected("gone", "went away while it was asked about", "abc")
    report = _collector(local=Told(Listing((_container(),), (gone,)))).collect(
        WINDOW, store, now=NOW
    )
    assert report.ok
    assert report.rejected == 1
    with store.read() as connection:
        assert connection.scalar(select(Collection.samples)) == [
            {"where": "gone", "why": "went away while it was asked about", "text": "abc"}
        ]


def test_of_two_with_the_same_labels_the_running_one_is_kept(store: Store) -> None:
    old = _container(container_id="a-old", state="exited", usage=None)
    new = _container(container_id="b-new")
    report = _collector(local=Told([old, new])).collect(WINDOW, store, now=NOW)
    assert [row.container_id for row in _rows(store)] == ["b-new"]
    assert [sample.text for sample in report.sources[0].samples] == ["a-old"]


def test_a_removed_container_is_absent(store: Store) -> None:
    runtime = Told([_container("stays"), _container("goes")])
    collector = _collector(local=runtime)
    collector.collect(WINDOW, store, now=NOW)
    runtime.answer = [_container("stays")]
    _collect_again(collector, store)
    assert [row.container_id for row in _rows(store)] == [
        "id-of-goes",
        "id-of-stays",
        "id-of-stays",
    ]


def test_changed_minutes_are_marked_dirty_for_policies_of_containers(store: Store) -> None:
    for family in ("container", "request"):
        _register_policy(store, family)
    _collector(local=Told([_container()])).collect(WINDOW, store, now=NOW)
    with store.read() as connection:
        marked = {
            (row.policy, row.first_minute, row.last_minute)
            for row in connection.execute(select(Dirty))
        }
    assert marked == {
        ("p-container", LAST_MINUTE, LAST_MINUTE),
        ("p-container", WINDOW.first_minute, LAST_MINUTE),
    }


def test_windows_collected_in_another_order_count_each_restart_once(store: Store) -> None:
    """Both within a cadence of their ends: the later window first, then the earlier one."""
    early, late = Window(END - CADENCE, END), Window(END - CADENCE + MINUTE, END + MINUTE)
    base = Window(END - 2 * CADENCE, END - CADENCE)
    runtime = Told([_container(restarts=1)])
    collector = _collector(local=runtime)
    collector.collect(base, store, now=base.end + timedelta(seconds=5))
    for window, at, restarts in ((late, 1, 3), (early, 2, 6), (_after(late), 3, 10)):
        runtime.answer = [_container(restarts=restarts)]
        collector.collect(window, store, now=END + at * MINUTE + timedelta(seconds=5))
    assert sum(row.restarts_delta or 0 for row in _rows(store)) == 10 - 1


def _after(window: Window) -> Window:
    return Window(window.end, window.end + MINUTE)


def test_hosts_that_are_asked_apart_cover_together_and_none_before(store: Store) -> None:
    runtimes = {"one": Told([_container("a")]), "two": Told([_container("b")])}
    collector = _collector(**runtimes)
    for number, name in enumerate(runtimes):
        assert _covered(store, WINDOW) == [False] * 5
        part = Part.of("run", collector.sources, [name])
        report = collector.collect(WINDOW, store, now=NOW, part=part)
        assert [(one.source, one.status) for one in report.sources] == [(name, "ok")]
        assert sum(runtime.asked for runtime in runtimes.values()) == number + 1
    assert _covered(store, WINDOW) == [True] * 5
    assert len(_rows(store)) == 2


def test_what_no_sample_stands_for_is_covered_by_no_part_alone(sqlite_store: Store) -> None:
    collector = _collector(one=Told([_container("a")]), two=Told())
    long = Window(WINDOW.start - CADENCE, WINDOW.end)
    earlier = Window(long.start, WINDOW.start)
    known = Part.of("before", ["one"], ["one"])
    collector.collect(earlier, sqlite_store, now=NOW - CADENCE, part=known)
    part = Part.of("run", collector.sources, ["one"])
    collector.collect(long, sqlite_store, now=NOW, part=part)
    assert _covered(sqlite_store, WINDOW) == [False] * 5
