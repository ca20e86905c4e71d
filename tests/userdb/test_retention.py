"""Retention: what is old and not needed goes, in batches; everything else stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from monitoring.signals import FAMILIES
from sqlalchemy import event, func, select

from tests.monitoring.facts import put_raw
from userdb.bulk import bulk_insert
from userdb.errors import ConfigError, NaiveDatetimeError
from userdb.models import EventMinute, MonitorEvent, RequestLog
from userdb.retention import MINUTE_TABLES, purge, read_floors
from userdb.store import Store
from userdb.times import to_minute

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def _fill(store: Store) -> None:
    """A request and an event every second of the minute before noon and the one after it."""
    times = [NOON + timedelta(seconds=second) for second in range(-60, 60)]
    events = [
        {
            "event_id": f"e{number}",
            "event_type": "custom",
            "source": "test",
            "level": "info",
            "message": "",
            "occurred_at": at,
            "created_at": at,
            "rolled_up": number % 2 == 0,
        }
        for number, at in enumerate(times)
    ]
    minutes = [
        {"minute": to_minute(NOON) + offset, "series_id": 1, "events": 30} for offset in (-1, 0)
    ]
    put_raw(store, *({"occurred_at": at} for at in times))
    store.write(lambda connection: bulk_insert(connection, MonitorEvent, events))
    store.write(lambda connection: bulk_insert(connection, EventMinute, minutes))


def test_raw_rows_before_a_time_go_in_bounded_batches(store: Store) -> None:
    _fill(store)
    deletes: list[int] = []

    @event.listens_for(store.engine, "after_cursor_execute")
    def _count(_connection, cursor, statement, *_rest) -> None:  # type: ignore[no-untyped-def]
        if statement.startswith("DELETE"):
            deletes.append(cursor.rowcount)

    assert purge(store, before=NOON, batch_rows=25) == {"request_log": 60, "monitor_event": 30}
    assert deletes == [25, 25, 10, 25, 5]
    with store.read() as connection:
        assert connection.scalar(select(func.min(RequestLog.occurred_at))) == NOON
        # an event that nobody has counted yet stays
        kept = connection.scalars(
            select(MonitorEvent.rolled_up).where(MonitorEvent.occurred_at < NOON)
        ).all()
        assert kept == [False] * 30
        assert connection.scalar(select(func.count()).select_from(EventMinute)) == 2
    assert purge(store, before=NOON) == {"request_log": 0, "monitor_event": 0}


def test_minute_tables_go_only_when_named(store: Store) -> None:
    _fill(store)
    assert purge(store, before=NOON, tables=["event_minute"]) == {"event_minute": 1}
    with store.read() as connection:
        assert connection.scalars(select(EventMinute.minute)).all() == [to_minute(NOON)]
        assert connection.scalar(select(func.count()).select_from(RequestLog)) == 120


def test_what_may_not_be_purged_is_refused(sqlite_store: Store) -> None:
    with pytest.raises(ConfigError, match="can't purge alert; tables with a retention: request_"):
        purge(sqlite_store, before=NOON, tables=["request_log", "alert"])
    with pytest.raises(NaiveDatetimeError):
        purge(sqlite_store, before=NOON.replace(tzinfo=None))


# --- the floor --------------------------------------------------------------------------------


class Crash(Exception):
    """The process ended here."""


def _floors(store: Store) -> dict[str, int]:
    with store.read() as connection:
        return read_floors(connection)


def _minutes(store: Store) -> list[int]:
    """Minutes of event_minute, counted from noon."""
    with store.read() as connection:
        found = connection.scalars(select(EventMinute.minute).order_by(EventMinute.minute))
        return [minute - to_minute(NOON) for minute in found]


def _fill_minutes(store: Store) -> None:
    rows = [{"minute": to_minute(NOON) + at, "series_id": 1, "events": 1} for at in range(-10, 10)]
    store.write(lambda connection: bulk_insert(connection, EventMinute, rows))


def test_a_floor_tells_how_far_back_minutes_are_whole(store: Store) -> None:
    _fill_minutes(store)
    purge(store, before=NOON)
    assert _floors(store) == {}  # raw rows have none
    purge(store, before=NOON + timedelta(seconds=59), tables=["event_minute"])
    assert _floors(store) == {"event": to_minute(NOON)}
    assert _minutes(store) == list(range(10))


def test_a_floor_is_never_lowered_and_raised_where_nothing_is_deleted(store: Store) -> None:
    hour = timedelta(hours=1)
    for before in (NOON, NOON - hour):
        assert purge(store, before=before, tables=MINUTE_TABLES) == dict.fromkeys(MINUTE_TABLES, 0)
        assert _floors(store) == dict.fromkeys(("container", "event", "request"), to_minute(NOON))
    purge(store, before=NOON + hour, tables=["container_sample"])
    assert _floors(store)["container"] == to_minute(NOON + hour)
    assert _floors(store)["request"] == to_minute(NOON)


@pytest.mark.parametrize(
    ("statement", "floor", "left"),
    [
        (1, None, range(-10, 10)),  # the floor is not stored: nothing is deleted
        (2, None, range(-10, 10)),  # ... nor committed
        (4, 0, range(-6, 10)),  # the second batch isn't deleted: the floor lies behind it already
    ],
)
def test_a_crash_between_batches_leaves_a_floor_that_is_high_enough(
    store: Store, statement: int, floor: int | None, left: range
) -> None:
    _fill_minutes(store)
    written = 0

    def crash(_connection, _cursor, sql, *_rest) -> None:  # type: ignore[no-untyped-def]
        nonlocal written
        written += sql.startswith(("INSERT", "DELETE"))
        if written == statement:
            raise Crash

    event.listen(store.engine, "after_cursor_execute", crash)
    with pytest.raises(Crash):
        purge(store, before=NOON, tables=["event_minute"], batch_rows=4)
    event.remove(store.engine, "after_cursor_execute", crash)
    assert _floors(store) == ({} if floor is None else {"event": to_minute(NOON) + floor})
    assert len(_minutes(store)) == len(left)
    # the next run takes it up
    purge(store, before=NOON, tables=["event_minute"], batch_rows=4)
    assert _minutes(store) == list(range(10))


def test_what_the_catalogue_reads_is_what_has_a_floor() -> None:
    assert {one.table: one.name for one in FAMILIES.values()} == MINUTE_TABLES
