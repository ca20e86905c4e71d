"""Pulling real nodes: everything once, covered as far as they say, and on from where it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from monitoring.window import Window
from sqlalchemy import delete, insert, select

from include.collectors.pull.collector import Pull
from include.collectors.pull.settings import PullNode, PullSettings
from tests.collectors.pull.facts import (
    FIRST,
    STOP,
    WINDOW,
    add_events,
    add_minute,
    add_sample,
    counted_events,
    cover,
    cover_all,
    covers,
    events,
    pull,
    requests,
    samples,
    statuses,
)
from tests.servers.node import run_node
from userdb.ledger import Part
from userdb.models import Collection, Dirty, MonitorEvent, PolicyState, PullCursor
from userdb.retention import purge
from userdb.store import Store, open_store
from userdb.times import from_minute


@pytest.fixture
def node_stores(sqlite_template: Path, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """The userdbs of two nodes."""
    opened = []
    for name in ("gw-1", "gw-2"):
        path = tmp_path / f"{name}.sqlite"
        shutil.copyfile(sqlite_template, path)
        opened.append(open_store(f"sqlite:///{path}"))
    yield opened[0], opened[1]
    for store in opened:
        store.close()


@pytest.fixture
def nodes(node_stores: tuple[Store, Store]) -> Iterator[tuple[PullNode, PullNode]]:
    """Two nodes on real servers."""
    one, two = node_stores
    with run_node("gw-1", one) as first, run_node("gw-2", two) as second:
        yield first, second


def test_two_nodes_are_pulled_into_one_userdb_once_however_often(
    store: Store, nodes: tuple[PullNode, PullNode], node_stores: tuple[Store, Store]
) -> None:
    one, two = node_stores
    add_events(one, "a", "b")
    add_events(two, "c", "b")
    for at, node in enumerate(node_stores):
        add_minute(node, "edge", FIRST, 5 + at)
        add_minute(node, "edge", FIRST + 1, 7 + at)
        add_sample(node, "edge", FIRST + 4, 10.0 + at)
        cover_all(node)
    families = [{"policy": name, "family": name} for name in ("event", "request", "container")]
    store.write(lambda connection: connection.execute(insert(PolicyState), families))
    first = pull(store, *nodes)
    assert set(statuses(first).values()) == {"ok"}
    rows = {one.source: one.rows for one in first.sources}
    assert (rows["gw-1/requests"], rows["gw-2/requests"], rows["gw-1/containers"]) == (2, 2, 1)
    expected = {"a": 1, "b": 1, "c": 1}
    for _ in range(2):
        assert events(store) == expected
        assert counted_events(store) == 3
        assert requests(store) == {
            ("gw-1/edge", 0): 5,
            ("gw-1/edge", 1): 7,
            ("gw-2/edge", 0): 6,
            ("gw-2/edge", 1): 8,
        }
        assert samples(store) == {("gw-1/local", 4): 10.0, ("gw-2/local", 4): 11.0}
        for family in ("event", "request", "container"):
            assert covers(store, family) == [0, 1, 2, 3, 4]
        store.write(lambda connection: connection.execute(delete(Dirty)))
        again = pull(store, *nodes)
        assert again.rows == 0
    with store.read() as connection:
        assert connection.scalars(select(Dirty.policy)).all() == []
        stored = connection.execute(select(MonitorEvent).where(MonitorEvent.event_id == "a")).one()
    assert (stored.message, stored.detail) == ("failed: a", {"é": [1, None]})


def test_what_comes_late_or_changes_at_a_node_is_pulled_and_marks_its_minutes(
    store: Store, nodes: tuple[PullNode, PullNode], node_stores: tuple[Store, Store]
) -> None:
    node, (one, _) = nodes[0], node_stores
    add_minute(one, "edge", FIRST + 3, 5)
    pull(store, node)
    store.write(
        lambda connection: connection.execute(
            insert(PolicyState), {"policy": "p", "family": "request"}
        )
    )
    add_minute(one, "edge", FIRST + 3, 6)  # a correction
    add_minute(one, "edge", FIRST - 60, 4)  # an hour late
    pull(store, node)
    assert requests(store) == {("gw-1/edge", 3): 6, ("gw-1/edge", -60): 4}
    with store.read() as connection:
        spans = connection.execute(select(Dirty.first_minute, Dirty.last_minute)).all()
    assert {(low - FIRST, high - FIRST) for low, high in spans} == {(3, 3), (-60, -60)}


def test_a_minute_is_covered_when_every_node_covers_it_and_so_may_become_later(
    store: Store, nodes: tuple[PullNode, PullNode], node_stores: tuple[Store, Store]
) -> None:
    one, two = node_stores
    cover(one, "request", FIRST, STOP)
    cover(two, "request", FIRST, FIRST + 2)
    report = pull(store, *nodes)
    assert statuses(report)["gw-1/requests"] == "ok"
    assert statuses(report)["gw-2/requests"] == "unavailable"
    assert covers(store, "request") == [0, 1]
    cover(two, "request", FIRST + 2, STOP)
    later = Window.of_minutes(STOP - 1, STOP)
    report = pull(store, *nodes, window=later)
    assert covers(store, "request") == [0, 1, 2, 3, 4]
    # what this userdb collects itself must be known too
    cover(store, "request", FIRST + 1, FIRST + 2, "failed")
    assert covers(store, "request") == [0, 2, 3, 4]


def test_a_node_that_is_down_leaves_its_minutes_unknown_and_the_others_go_on(
    store: Store, nodes: tuple[PullNode, PullNode], node_stores: tuple[Store, Store]
) -> None:
    one, _ = node_stores
    add_minute(one, "edge", FIRST, 5)
    cover_all(one)
    gone = PullNode.model_validate({"name": "gone", "url": "http://127.0.0.1:1", "key": "hidden"})
    report = pull(store, nodes[0], gone)
    assert statuses(report) == {
        **{f"gw-1/{kind}": "ok" for kind in ("events", "requests", "containers")},
        **{f"gone/{kind}": "failed" for kind in ("events", "requests", "containers")},
    }
    message = next(one.message for one in report.sources if one.source == "gone/requests")
    assert message is not None
    assert "gone at http://127.0.0.1:1 can't be read" in message
    assert "hidden" not in message
    assert requests(store) == {("gw-1/edge", 0): 5}
    assert covers(store, "request") == []
    # the node is no longer named: what the others told is known
    report = pull(store, nodes[0])
    assert covers(store, "request") == [0, 1, 2, 3, 4]


def test_a_wrong_key_is_told_and_not_repeated(
    store: Store, nodes: tuple[PullNode, PullNode]
) -> None:
    wrong = PullNode.model_validate({**nodes[0].model_dump(), "key": "mon_00_" + "1" * 20})
    report = pull(store, wrong)
    assert set(statuses(report).values()) == {"failed"}
    with store.read() as connection:
        told = connection.scalars(select(Collection.message)).all()
    assert all("answered 401" in message and "mon_00" not in message for message in told)


def test_who_asks_for_an_earlier_window_gets_what_lies_before_the_cursor(
    store: Store, nodes: tuple[PullNode, PullNode], node_stores: tuple[Store, Store]
) -> None:
    one, _ = node_stores
    ago = 3 * 24 * 60
    add_events(one, "old", at=from_minute(FIRST - ago))
    add_minute(one, "edge", FIRST - ago, 3)
    add_minute(one, "edge", FIRST, 5)
    add_events(one, "new")
    cover_all(one, FIRST - ago, STOP - ago)
    pull(store, nodes[0])
    assert (events(store), set(requests(store))) == ({"new": 1}, {("gw-1/edge", 0)})
    earlier = Window.of_minutes(FIRST - ago, STOP - ago)
    pull(store, nodes[0], window=earlier)
    assert events(store) == {"new": 1, "old": 1}
    assert requests(store) == {("gw-1/edge", 0): 5, ("gw-1/edge", -ago): 3}
    assert covers(store, "event", FIRST - ago, STOP - ago) == [at - ago for at in range(5)]
    # what comes later than lookback is read too, of all that was ever asked for
    add_minute(one, "edge", FIRST - ago, 4)
    add_events(one, "late", at=from_minute(FIRST - ago))
    pull(store, nodes[0])
    assert events(store) == {"new": 1, "old": 1, "late": 1}
    assert requests(store)["gw-1/edge", -ago] == 4


def test_nodes_that_pull_each_other_don_t_go_round_in_circles(
    nodes: tuple[PullNode, PullNode], node_stores: tuple[Store, Store]
) -> None:
    one, two = node_stores
    add_minute(one, "edge", FIRST, 5)
    add_sample(one, "edge", FIRST)
    add_events(one, "a")
    for _ in range(3):
        pull(two, nodes[0])
        pull(one, nodes[1])
    assert requests(two) == {("gw-1/edge", 0): 5}
    assert requests(one) == {("edge", 0): 5}
    assert samples(one) == {("local", 0): 10.0}
    assert (events(one), events(two)) == ({"a": 1}, {"a": 1})


def test_a_node_that_was_set_up_anew_is_read_from_its_beginning(
    store: Store, nodes: tuple[PullNode, PullNode], node_stores: tuple[Store, Store]
) -> None:
    one, two = node_stores
    add_events(one, *(f"a{number}" for number in range(5)))
    for at in range(5):
        add_minute(one, "edge", FIRST + at, 1)
    pull(store, nodes[0])
    add_events(two, *(f"b{number}" for number in range(7)))
    for at in range(5):
        add_minute(two, "edge", FIRST + at, 2)
    replaced = nodes[1].model_copy(update={"name": "gw-1"})
    pull(store, replaced)
    assert set(events(store)) == {f"a{n}" for n in range(5)} | {f"b{n}" for n in range(7)}
    assert set(requests(store).values()) == {2}


def test_what_was_purged_is_not_pulled_again(
    store: Store, nodes: tuple[PullNode, PullNode], node_stores: tuple[Store, Store]
) -> None:
    one, _ = node_stores
    add_minute(one, "edge", FIRST, 5)
    add_minute(one, "edge", FIRST + 3, 6)
    add_sample(one, "edge", FIRST)
    cover_all(one)
    for table in ("request_minute", "container_sample"):
        purge(store, before=from_minute(FIRST + 2), tables=[table])
    report = pull(store, nodes[0])
    assert requests(store) == {("gw-1/edge", 3): 6}
    assert samples(store) == {}
    rejected = {one.source: one.rejected for one in report.sources}
    # a minute that changed twice, by data and by coverage, comes once
    assert rejected["gw-1/requests"] == 2
    assert covers(store, "request") == [2, 3, 4]


def test_without_nodes_nothing_is_asked_and_nothing_is_written(store: Store) -> None:
    report = pull(store)
    assert report.sources == ()
    with store.read() as connection:
        assert connection.scalars(select(Collection.id)).all() == []


def test_kinds_that_are_not_asked_for_are_left_out(
    store: Store, nodes: tuple[PullNode, PullNode], node_stores: tuple[Store, Store]
) -> None:
    one, _ = node_stores
    add_events(one, "a")
    add_minute(one, "edge", FIRST, 5)
    only = nodes[0].model_copy(update={"kinds": ["requests"]})
    assert statuses(pull(store, only)) == {"gw-1/requests": "unavailable"}
    assert (events(store), requests(store)) == ({}, {("gw-1/edge", 0): 5})
    with store.read() as connection:
        assert connection.scalars(select(PullCursor.kind)).all() == ["requests"]


def test_nodes_that_are_pulled_apart_cover_together_and_none_before(
    store: Store, nodes: tuple[PullNode, PullNode], node_stores: tuple[Store, Store]
) -> None:
    for node in node_stores:
        cover_all(node)
    apart = (nodes[0], nodes[1].model_copy(update={"kinds": ["requests", "events"]}))
    collector = Pull(PullSettings(nodes=list(apart)))
    for node in apart:
        assert covers(store, "request") == covers(store, "event") == []
        part = Part.of("run", collector.sources, [node.name])
        report = collector.collect(WINDOW, store, now=datetime.now(UTC), part=part)
        assert {one.source.partition("/")[0] for one in report.sources} == {node.name}
        # the second is not asked for containers, so nothing of it is waited for
        assert covers(store, "container") == [0, 1, 2, 3, 4]
    assert covers(store, "request") == covers(store, "event") == [0, 1, 2, 3, 4]
