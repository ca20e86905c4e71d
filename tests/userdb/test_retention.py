"""Retention: what is old and not needed goes, in batches; everything else stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, func, select

from userdb.bulk import bulk_insert
from userdb.errors import ConfigError, NaiveDatetimeError
from userdb.models import EventMinute, MonitorEvent, RequestLog
from userdb.retention import purge
from userdb.store import Store
from userdb.times import to_minute

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def _fill(store: Store) -> None:
    """A request and an event every second of the minute before noon and the one after it."""
    times = [NOON + timedelta(seconds=second) for second in range(-60, 60)]
    requests = [
        {
            "occurred_at": at,
            "file_id": 1,
            "byte_offset": number,
            "source": "gateway",
            "outcome": "ok",
            "outcome_reason": "status=200",
        }
        for number, at in enumerate(times)
    ]
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
    store.write(lambda connection: bulk_insert(connection, RequestLog, requests))
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
