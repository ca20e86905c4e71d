"""Events into counts per minute and label set.

An event is *added* to its minute's count in the transaction that sets its ``rolled_up``. So it is
counted exactly once, and a late event is right also where retention has deleted the minute's other
raw events: their counts stay. (Retention must leave events that are not rolled up.) Where the
counts themselves were purged, the sum would be wrong: such an event is given up, not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from monitoring.window import Window
from sqlalchemy import Connection, Insert, bindparam, false, or_, select, update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from userdb.ledger import MAX_SAMPLES, Rejected, mark_dirty
from userdb.models import EventMinute, MonitorEvent
from userdb.retention import read_floors
from userdb.series import fingerprint, intern_series, touch_series
from userdb.times import from_minute, to_minute

FAMILY = "event"
#: Events a transaction; with their counts and series it stays below 20,000 rows.
BATCH = 4000
#: An event that claims to be older has a clock that was never set.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
#: An event that claims to lie farther after the present has a wrong clock.
MAX_AHEAD = timedelta(days=1)
#: Key of ``detail`` that holds the time which an event claimed.
CLAIMED_TIME = "claimed_occurred_at"

_LABELS = ("event_type", "level", "service", "instance", "container", "exception_type", "source")


@dataclass(frozen=True)
class RolledUp:
    """``events`` were counted, ``late`` of them older than the window; ``more`` remain.

    ``given_up`` events are from before ``floor``, up to which counts were purged.
    """

    events: int
    late: int
    more: bool
    given_up: int = 0
    floor: datetime | None = None


def roll_up(connection: Connection, window: Window) -> RolledUp:
    """Count the next BATCH events that happened before the window's end and aren't counted yet.

    Marks their minutes dirty. Concurrent calls wait for each other's events.
    """
    table = MonitorEvent
    rows = connection.execute(
        select(table.id, table.occurred_at, *(getattr(table, name) for name in _LABELS))
        .where(table.rolled_up == false(), table.occurred_at < window.end)
        .order_by(table.occurred_at, table.id)
        .limit(BATCH)
        # without the lock, a concurrent collection would count the same events
        .with_for_update()
    ).all()
    if not rows:
        return RolledUp(0, 0, more=False)
    found, more = [row.id for row in rows], len(rows) == BATCH
    connection.execute(update(table).where(table.id.in_(found)).values(rolled_up=True))
    minute = read_floors(connection).get(FAMILY)
    floor = None if minute is None else from_minute(minute)
    kept = [row for row in rows if floor is None or row.occurred_at >= floor]
    given_up = len(found) - len(kept)
    if not kept:
        return RolledUp(0, 0, more, given_up, floor)
    keys = [tuple(row[2:]) for row in kept]
    marks = {key: fingerprint(labels) for key in set(keys) for labels in [_labels(key)]}
    ids = intern_series(connection, FAMILY, [_labels(key) for key in sorted(marks, key=str)])
    minutes = [to_minute(row.occurred_at) for row in kept]
    counts = Counter((minute, ids[marks[key]]) for minute, key in zip(minutes, keys, strict=True))
    connection.execute(
        _add_counts(connection),
        [
            {"minute": minute, "series_id": series, "events": number}
            for (minute, series), number in sorted(counts.items())
        ],
    )
    lives: dict[int, tuple[int, int]] = {}
    for minute, series in counts:
        first, last = lives.get(series, (minute, minute))
        lives[series] = (min(first, minute), max(last, minute))
    touch_series(connection, lives)
    mark_dirty(connection, FAMILY, sorted(set(minutes)))
    return RolledUp(
        events=len(kept),
        late=sum(row.occurred_at < window.start for row in kept),
        more=more,
        given_up=given_up,
        floor=floor,
    )


def _labels(key: tuple[str | None, ...]) -> Mapping[str, str]:
    return {name: value for name, value in zip(_LABELS, key, strict=True) if value}


def _add_counts(connection: Connection) -> Insert:
    if connection.dialect.name == "sqlite":
        insert = sqlite_insert(EventMinute)
        return insert.on_conflict_do_update(
            index_elements=["minute", "series_id"],
            set_={"events": EventMinute.events + insert.excluded.events},
        )
    statement = mysql_insert(EventMinute)
    return statement.on_duplicate_key_update(events=EventMinute.events + statement.inserted.events)


@dataclass(frozen=True)
class Refiled:
    """``events`` had impossible times; ``samples`` shows some; ``more`` may remain."""

    events: int
    samples: tuple[Rejected, ...]
    more: bool


def refile_impossible(connection: Connection, now: datetime) -> Refiled:
    """Give events with an impossible time the time of their report, before they are counted.

    Impossible is what lies before EARLIEST, or more than MAX_AHEAD after ``now``. Where the time
    of the report is impossible too, ``now`` is taken. The claimed time stays in the detail.
    """
    latest = now + MAX_AHEAD
    table = MonitorEvent
    rows = connection.execute(
        select(table.id, table.event_id, table.occurred_at, table.created_at, table.detail)
        .where(
            table.rolled_up == false(),
            or_(table.occurred_at < EARLIEST, table.occurred_at > latest),
        )
        .limit(BATCH)
        .with_for_update()
    ).all()
    changed: list[dict[str, Any]] = []
    samples: list[Rejected] = []
    for row in rows:
        filed = row.created_at if EARLIEST <= row.created_at <= latest else now
        claimed = row.occurred_at.isoformat()
        detail = row.detail if isinstance(row.detail, dict) else {}
        changed.append({"row": row.id, "at": filed, "note": {**detail, CLAIMED_TIME: claimed}})
        if len(samples) < MAX_SAMPLES:
            why = f"claims to have happened at {claimed}; filed under {filed.isoformat()}"
            samples.append(Rejected(f"event {row.event_id}", why))
    if changed:
        connection.execute(
            update(table)
            .where(table.id == bindparam("row"))
            .values(occurred_at=bindparam("at"), detail=bindparam("note")),
            changed,
        )
    return Refiled(len(rows), tuple(samples), more=len(rows) == BATCH)
