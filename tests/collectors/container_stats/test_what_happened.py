"""Events and manifests on their way into userdb: once each, and counted once."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from monitoring.window import Window
from sqlalchemy import func, select

from include.collectors.container_stats.collector import ContainerStatsCollector
from include.collectors.container_stats.runtime import (
    Container,
    ContainerEvent,
    EventAction,
    Listing,
    Period,
)
from include.collectors.container_stats.settings import ContainerStatsSettings, EngineHost
from include.collectors.gateway_exceptions.rollup import roll_up
from userdb.errors import CollectionError
from userdb.models import Collection, ContainerSample, EventMinute, MonitorEvent, Series
from userdb.store import Store

END = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CADENCE = timedelta(minutes=5)
WINDOW = Window(END - CADENCE, END)
SIM = Container(
    container_id="id-sim",
    name="sim",
    image="sim:1",
    labels={"service": "engine"},
    state="running",
    restarts=0,
    read_after_s=0.1,
)


def _event(action: EventAction, seconds: float, **changes: Any) -> ContainerEvent:
    """Something that happened so many seconds after END."""
    at = END + timedelta(seconds=seconds)
    event = ContainerEvent(
        container_id="id-sim",
        container="sim",
        image="sim:1",
        labels={"service": "engine"},
        action=action,
        time_ns=int(at.timestamp() * 10**6) * 1000,
        occurred_at=at,
    )
    return replace(event, **changes)


class Engine:
    """A runtime that remembers everything that happened, as engines do for a while."""

    def __init__(self, *events: ContainerEvent) -> None:
        self.events: tuple[ContainerEvent, ...] | None = events
        self.containers_: tuple[Container, ...] = (SIM,)
        self.asked: list[Period] = []
        self.notes: tuple[str, ...] = ()

    def containers(self, period: Period | None = None) -> Listing:
        assert period is not None
        self.asked.append(period)
        told = None
        if self.events is not None:
            told = tuple(e for e in self.events if period.since < e.occurred_at <= period.until)
        return Listing(self.containers_, (), told, self.notes)


def _collect(store: Store, engine: Engine, step: int, **host: Any) -> None:
    settings = ContainerStatsSettings(hosts=[EngineHost(name="h", url="unix:///x", **host)])
    collector = ContainerStatsCollector(settings, open_runtime=lambda *_: engine)
    window = Window(WINDOW.start + step * CADENCE, WINDOW.end + step * CADENCE)
    now = window.end + timedelta(seconds=20)
    assert collector.collect(window, store, now=now).ok


def _samples(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(select(ContainerSample).order_by(ContainerSample.minute)))


def _counted(store: Store) -> list[tuple[int | None, int | None]]:
    return [(row.exits, row.oom_kills) for row in _samples(store)]


def test_what_happened_is_stored_once_and_counted_in_one_sample(store: Store) -> None:
    engine = Engine(
        _event("oom", -30),
        _event("die", -29.5, exit_code=137),
        _event("die", 100, exit_code=0, asked=True),
        _event("die", 200, exit_code=1),
        _event("die", 250, container_id="gone", container="gone", exit_code=2),
    )
    for step in range(4):
        _collect(store, engine, step)
    assert _counted(store) == [(1, 1), (1, 0), (0, 0), (0, 0)]
    with store.read() as connection:
        rows = connection.execute(select(MonitorEvent).order_by(MonitorEvent.occurred_at)).all()
    assert [(row.exception_type, row.level, row.container) for row in rows] == [
        ("oom", "error", "sim"),
        ("die", "error", "sim"),
        ("die", "info", "sim"),
        ("die", "error", "sim"),
        ("die", "error", "gone"),
    ]
    assert {(row.event_type, row.source, row.service, row.instance) for row in rows} == {
        ("container", "container_stats", "engine", "h")
    }
    assert rows[0].detail == {"container_id": "id-sim", "image": "sim:1", "host": "h"}
    assert rows[0].occurred_at == END - timedelta(seconds=30)
    store.write(lambda connection: roll_up(connection, Window(END - CADENCE, END + 2 * CADENCE)))
    with store.read() as connection:
        assert connection.scalar(select(func.sum(EventMinute.events))) == 5


def test_events_are_asked_for_since_one_cadence_before_the_last_collection(store: Store) -> None:
    engine = Engine()
    for step in (0, 1, 3):
        _collect(store, engine, step)
    asked_at = [END + step * CADENCE + timedelta(seconds=20) for step in (0, 1, 3)]
    assert [period.until for period in engine.asked] == asked_at
    assert [period.since for period in engine.asked] == [
        asked_at[0] - 2 * CADENCE,
        asked_at[0] - CADENCE,
        asked_at[1] - CADENCE,
    ]


def test_after_a_long_time_events_of_a_day_are_asked_for(sqlite_store: Store) -> None:
    engine = Engine()
    for step in (0, 12 * 24 * 3):
        _collect(sqlite_store, engine, step)
    assert engine.asked[1].until - engine.asked[1].since == timedelta(days=1)


def test_events_that_were_not_told_are_made_up_for_by_the_next_collection(
    sqlite_store: Store,
) -> None:
    engine = Engine(_event("die", 100, exit_code=1))
    _collect(sqlite_store, engine, 0)
    events, engine.events = engine.events, None
    engine.notes = ("events since 11:55 were not told: HTTP 403",)
    _collect(sqlite_store, engine, 1)
    engine.events, engine.notes = events, ()
    _collect(sqlite_store, engine, 2)
    assert _counted(sqlite_store) == [(0, 0), (None, None), (1, 0)]
    with sqlite_store.read() as connection:
        messages = connection.scalars(select(Collection.message).order_by(Collection.id)).all()
    assert messages == [None, "events since 11:55 were not told: HTTP 403", None]


def test_the_state_knows_of_memory_that_ran_out_once(sqlite_store: Store) -> None:
    engine = Engine()
    ended = replace(SIM, state="exited", oom_killed=True, finished_at=END - timedelta(minutes=1))
    engine.containers_ = (ended,)
    for step in range(2):
        _collect(sqlite_store, engine, step)
    assert [kills for _, kills in _counted(sqlite_store)] == [1, 0]


POD = """\
apiVersion: v1
kind: Pod
metadata: {name: shop}
spec:
  containers:
    - {name: web, image: "shop:1"}
    - {name: side, image: "side:1"}
"""


def test_manifests_are_compared_at_each_collection(store: Store, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(POD)
    engine = Engine()
    engine.containers_ = (SIM, replace(SIM, name="shop-web", container_id="w", image="shop:2"))
    _collect(store, engine, 0, manifests=str(tmp_path))
    engine.containers_ += (replace(SIM, name="shop-side", container_id="s", image="side:1"),)
    _collect(store, engine, 1, manifests=str(tmp_path))
    with store.read() as connection:
        names = {row.id: row.labels for row in connection.execute(select(Series.id, Series.labels))}
    found = {
        (row.minute - WINDOW.stop_minute + 1, names[row.series_id]["container"]): (
            row.state,
            row.down,
            row.undeclared,
            row.wrong_image,
        )
        for row in _samples(store)
    }
    assert found == {
        (0, "sim"): ("running", 0, 1, None),
        (0, "shop-web"): ("running", 0, 0, 1),
        (0, "shop-side"): ("absent", 1, 0, None),
        (5, "sim"): ("running", 0, 1, None),
        (5, "shop-web"): ("running", 0, 0, 1),
        (5, "shop-side"): ("running", 0, 0, 0),
    }


def test_a_folder_of_manifests_that_is_not_there_stops_nothing(
    sqlite_store: Store, tmp_path: Path
) -> None:
    _collect(sqlite_store, Engine(), 0, manifests=str(tmp_path / "nowhere"))
    (row,) = _samples(sqlite_store)
    assert row.undeclared is None
    with sqlite_store.read() as connection:
        message = str(connection.scalar(select(Collection.message)))
    assert message.startswith(f"there is no folder of manifests {tmp_path}/nowhere")


def test_so_many_hosts_are_asked_at_once_and_each_has_its_turn(sqlite_store: Store) -> None:
    lock, now_, most = threading.Lock(), 0, 0

    class Slow(Engine):
        def containers(self, period: Period | None = None) -> Listing:
            nonlocal now_, most
            with lock:
                now_ += 1
                most = max(most, now_)
            time.sleep(0.05)
            with lock:
                now_ -= 1
            raise CollectionError("away")

    hosts = [EngineHost(name=f"h{number}", url="unix:///x") for number in range(9)]
    settings = ContainerStatsSettings(hosts=hosts, hosts_at_once=3)
    collector = ContainerStatsCollector(settings, open_runtime=lambda *_: Slow())
    report = collector.collect(WINDOW, sqlite_store, now=END)
    assert [source.message for source in report.sources] == ["away"] * 9
    assert most == 3


@pytest.mark.parametrize(
    ("state", "must_run", "down"),
    [("running", True, 0), ("exited", True, 1), ("exited", False, 0), ("waiting", True, 1)],
)
def test_down_is_what_should_run_and_does_not(
    sqlite_store: Store, state: str, must_run: bool, down: int
) -> None:
    engine = Engine()
    engine.containers_ = (replace(SIM, state=state, must_run=must_run, reason="why"),)
    _collect(sqlite_store, engine, 0)
    (row,) = _samples(sqlite_store)
    assert (row.down, row.running, row.reason) == (down, int(state == "running"), "why")
