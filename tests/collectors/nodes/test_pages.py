"""Paging over what a node holds: everything that was committed, in a stable order, as it is now."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from include.collectors.nodes import pages
from include.collectors.nodes.containers import store_containers
from include.collectors.nodes.pages import Page, read_page
from include.collectors.nodes.wire import (
    ContainerMinute,
    ContainerRow,
    EventRow,
    Kind,
    RequestMinute,
)
from tests.collectors.pull.facts import (
    FIRST,
    STOP,
    add_events,
    add_minute,
    add_sample,
    cover,
    cover_all,
)
from userdb.errors import InvalidRequestError
from userdb.ledger import mark_dirty
from userdb.models import Collection, ContainerSample, MinuteChange, MonitorEvent
from userdb.models import RequestMinute as StoredMinute
from userdb.store import Store
from userdb.times import from_minute, to_minute

NOW = from_minute(STOP)
BEGIN = NOW - timedelta(days=1)


def read(
    store: Store, kind: Kind, since: str | None = None, limit: int = 50, begin: datetime = BEGIN
) -> Page:
    with store.read() as connection:
        return read_page(
            connection, kind, since=since, begin=begin, covered_from=begin, limit=limit, now=NOW
        )


def walk(store: Store, kind: Kind, since: str | None = None, **given: Any) -> Iterator[Page]:
    """Pages until there is no more."""
    while True:
        page = read(store, kind, since, **given)
        yield page
        since = page.cursor
        if not page.more:
            return


def test_events_come_in_pages_each_once_and_on_from_the_last(store: Store) -> None:
    add_events(store, *(f"e{number}" for number in range(7)))
    found = list(walk(store, "events", limit=3))
    assert [[item["event_id"] for item in page.items] for page in found] == [
        ["e0", "e1", "e2"],
        ["e3", "e4", "e5"],
        ["e6"],
    ]
    assert all(EventRow.model_validate(item) for page in found for item in page.items)
    add_events(store, "late", at=BEGIN + timedelta(seconds=1))
    assert [one["event_id"] for one in read(store, "events", found[-1].cursor).items] == ["late"]


def test_a_sample_has_all_its_columns_on_the_wire(store: Store) -> None:
    columns = set(ContainerSample.__table__.columns.keys())
    # the rest is in the minute, in the labels, or follows from what is there
    assert columns - set(ContainerRow.model_fields) == {"series_id", "running", "unhealthy"}
    told = {
        "reason": "OOMKilled",
        "exits": 2,
        "oom_kills": 1,
        "down": 0,
        "undeclared": 1,
        "wrong_image": 1,
        "wrong_limit": 0,
        "cpu_percent": 30.0,
        "cpu_limit_cores": 1.5,
        "cpu_limit_percent": 20.0,
    }
    add_sample(store, "edge", FIRST)
    store.write(lambda connection: connection.execute(update(ContainerSample).values(told)))
    (item,) = read(store, "containers").items
    (row,) = ContainerMinute.model_validate(item).rows
    store.write(
        lambda connection: store_containers(connection, [row], node="copy", pulled=True, now=NOW)
    )
    with store.read() as connection:
        names = [ContainerSample.__table__.c[name] for name in told]
        first, second = connection.execute(select(*names))
    assert first == second == tuple(told.values())


def test_a_page_of_long_events_ends_early_and_has_one_at_least(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_CHARACTERS", 1000)
    add_events(sqlite_store, "a", "b", "c", message="x" * 600)
    found = list(walk(sqlite_store, "events"))
    assert [len(page.items) for page in found] == [1, 1, 1]


def test_minutes_come_whole_in_the_order_of_their_changes_and_again_when_they_change(
    store: Store,
) -> None:
    for at in (3, 1, 2):
        add_minute(store, "edge", FIRST + at, at)
        add_sample(store, "edge", FIRST + at)
    first = list(walk(store, "requests", limit=2))
    minutes = [[to_minute(item["minute"]) - FIRST for item in page.items] for page in first]
    assert minutes == [[1, 3], [2]]
    assert all(RequestMinute.model_validate(item) for page in first for item in page.items)
    boxes = read(store, "containers")
    assert [
        to_minute(ContainerMinute.model_validate(one).minute) - FIRST for one in boxes.items
    ] == [
        1,
        2,
        3,
    ]
    add_minute(store, "edge", FIRST + 1, 9, service="other")
    (again,) = read(store, "requests", first[-1].cursor).items
    assert [(row["service"], row["requests"]) for row in again["rows"]] == [
        ("sim", 1),
        ("other", 9),
    ]


def test_a_change_of_many_minutes_is_paged_and_none_is_from_before_begin(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the migration leaves one, of all minutes that were there before."""
    spread = list(range(FIRST - 2000, FIRST + 5))
    store.write(lambda connection: mark_dirty(connection, "request", spread))
    found = list(walk(store, "requests", limit=500))
    minutes = [to_minute(item["minute"]) for page in found for item in page.items]
    assert minutes == list(range(to_minute(BEGIN), FIRST + 5))
    assert [len(page.items) for page in found] == [500, 500, 440]
    # a limit of rows makes pages shorter, and loses none
    for at in range(4):
        add_minute(store, "edge", FIRST + at, 1)
    monkeypatch.setattr(pages, "MAX_ROWS", 1)
    short = list(walk(store, "requests", found[-1].cursor, limit=500))
    assert [[to_minute(one["minute"]) - FIRST for one in page.items] for page in short] == [
        [0],
        [1],
        [2],
        [3],
    ]


def test_coverage_is_told_and_changes_of_it_are_news(store: Store) -> None:
    page = read(store, "requests")
    assert (page.items, page.covered) == ([], [])
    cover(store, "request", FIRST, FIRST + 2)
    cover(store, "request", FIRST + 3, FIRST + 4)
    page = read(store, "requests", page.cursor)
    assert [(one["minute"], one["rows"]) for one in page.items] == [
        (from_minute(FIRST + at), []) for at in (0, 1, 3)
    ]
    assert page.covered == [(FIRST, FIRST + 1), (FIRST + 3, FIRST + 3)]
    assert read(store, "events").covered == []


@pytest.mark.parametrize(
    "since", ["", "x", "é", "bm9uZQ", "WzFd", "W1tbW1tb", "A" * 500, "eyJhIjogMX0"]
)
def test_a_cursor_that_is_none_is_refused(sqlite_store: Store, since: str) -> None:
    with pytest.raises(InvalidRequestError, match="is no cursor of events"):
        read(sqlite_store, "events", since)


def test_a_cursor_of_another_kind_is_refused(sqlite_store: Store) -> None:
    with pytest.raises(InvalidRequestError, match="is no cursor of events"):
        read(sqlite_store, "events", read(sqlite_store, "requests").cursor)


CHANGES = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 9), st.booleans(), st.integers(1, 4)), max_size=12
)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=CHANGES)
def test_who_reads_on_at_any_time_knows_in_the_end_what_is_there(
    sqlite_store: Store, changes: list[tuple[int, int, bool, int]]
) -> None:
    def clear(connection: Any) -> None:
        for table in (StoredMinute, MinuteChange, Collection):
            connection.execute(delete(table))

    sqlite_store.write(clear)
    known: dict[int, int] = {}
    since: str | None = None

    def read_some(page: Page) -> None:
        for item in page.items:
            known[to_minute(item["minute"]) - FIRST] = sum(row["requests"] for row in item["rows"])

    for at, ok, reads, limit in changes:
        add_minute(sqlite_store, "edge", FIRST + at, ok)
        if reads:
            page = read(sqlite_store, "requests", since, limit)
            since = page.cursor
            read_some(page)
    for page in walk(sqlite_store, "requests", since, limit=2):
        read_some(page)
    assert known == {at: ok for at, ok, _, _ in changes}


def test_no_event_is_missed_while_others_are_being_stored(store: Store) -> None:
    """Reporters commit in another order than they insert in; coverage waits for them."""
    done = threading.Event()

    def write(writer: int) -> None:
        chance = random.Random(writer)
        for number in range(40):
            marks = [f"{writer}-{number}-{part}" for part in range(2)]
            if store.is_sqlite:
                add_events(store, *marks)
                continue
            with store.engine.connect() as connection, connection.begin():
                row = {
                    "event_type": "gateway",
                    "source": "x",
                    "level": "error",
                    "message": "m",
                    "occurred_at": NOW - timedelta(minutes=2),
                    "created_at": NOW,
                }
                connection.execute(
                    insert(MonitorEvent), [{"event_id": mark, **row} for mark in marks]
                )
                time.sleep(chance.uniform(0, 0.02))

    seen: list[str] = []

    def read_on() -> None:
        since = None
        while True:
            ended = done.is_set()
            page = read(store, "events", since, limit=5)
            seen.extend(item["event_id"] for item in page.items)
            since = page.cursor
            if ended and not page.items:
                return

    reader = threading.Thread(target=read_on, daemon=True)
    reader.start()
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(write, range(5)))
    done.set()
    reader.join(60)
    assert sorted(seen) == sorted(
        f"{writer}-{number}-{part}"
        for writer in range(5)
        for number in range(40)
        for part in (0, 1)
    )


@pytest.mark.mariadb
def test_nothing_is_said_to_be_covered_while_something_is_held_back(mariadb_store: Store) -> None:
    store = mariadb_store
    with store.engine.connect() as late:
        late.begin()
        late.execute(
            insert(MinuteChange),
            [{"family": "request", "first_minute": FIRST, "last_minute": FIRST, "token": "x"}],
        )
        cover_all(store)
        page = read(store, "requests")
        assert (page.items, page.more, page.covered) == ([], False, [])
        late.commit()
    page = read(store, "requests", page.cursor)
    assert len(page.items) == 5
    assert page.covered == [(FIRST, STOP - 1)]
