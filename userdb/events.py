"""Writing events: the one place that does, for reporters and for the collector alike.

Needs SQLAlchemy alone: users' own containers import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Insert, select
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from userdb.models import MonitorEvent

#: SQLite allows 32,766 bound values in a statement.
_BATCH = 5000
#: MySQL's answers to a row that it won't take, which drivers don't all call data errors: null,
#: out of range, wrong value or string, too long, invalid JSON, a CHECK, a trigger's SIGNAL.
_REFUSED_CODES = frozenset({1048, 1264, 1292, 1366, 1406, 1644, 3140, 3819, 4025})


@dataclass(frozen=True)
class EventRecord:
    """An event that fits ``monitor_event``: see there for the columns and their lengths.

    Attributes:
        event_id: at most 64 characters without space around them; the same id is stored once.
        event_type: one of ``userdb.models.events.EVENT_TYPES``.
        level: one of ``userdb.models.events.LEVELS``.
        detail: JSON that every database takes (no NaN, no lone surrogates).
        occurred_at, created_at: aware; when it happened, and when it was reported.
    """

    event_id: str
    event_type: str
    source: str
    level: str
    message: str
    occurred_at: datetime
    created_at: datetime
    detail: dict[str, Any] | None = None
    service: str | None = None
    instance: str | None = None
    container: str | None = None
    exception_type: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class StoredEvents:
    """How many events were new, and how many were there already (by ``event_id``).

    ``new`` holds the ids of those that were new.
    """

    stored: int
    repeated: int
    new: frozenset[str] = frozenset()


@dataclass(frozen=True)
class StoredEach:
    """What became of events that were stored one and all, but for those that userdb refuses.

    ``refused`` is why, by the event's position in what was given.
    """

    stored: int = 0
    repeated: int = 0
    new: frozenset[str] = frozenset()
    refused: Mapping[int, str] = field(default_factory=dict)


def store_events(connection: Connection, events: Sequence[EventRecord]) -> StoredEvents:
    """Insert the events that are not stored yet; what is stored is never changed.

    Writers that store the same event at the same time leave it once. They may both count it as
    stored: neither can see the other's row. An id is known for as long as retention keeps its row.

    Raises:
        sqlalchemy.exc.DBAPIError: userdb refuses a row; nothing of this call is stored then.
    """
    # sorted, so that writers of the same events lock them in the same order
    unique = {event.event_id: event for event in sorted(events, key=lambda e: e.event_id)}
    ids = list(unique)
    known: set[str] = set()
    for at in range(0, len(ids), _BATCH):
        known.update(
            connection.scalars(
                select(MonitorEvent.event_id).where(
                    MonitorEvent.event_id.in_(ids[at : at + _BATCH])
                )
            )
        )
    # not asdict(), which copies every detail
    rows = [vars(event) for mark, event in unique.items() if mark not in known]
    if rows:
        connection.execute(_insert_new(connection), rows)
    return StoredEvents(
        stored=len(rows),
        repeated=len(events) - len(rows),
        new=frozenset(row["event_id"] for row in rows),
    )


def store_each(
    write: Callable[[Callable[[Connection], StoredEvents]], StoredEvents],
    events: Sequence[EventRecord],
) -> StoredEach:
    """Store the events; one that userdb refuses doesn't hold up the others.

    Args:
        write: runs a piece of work in a transaction, such as ``Store.write``. One transaction
            stores all events, unless one of them is refused.

    Raises:
        sqlalchemy.exc.DBAPIError, UserdbUnavailable: userdb failed. Some events may be stored.
    """
    if not events:
        return StoredEach()
    try:
        done = write(lambda connection: store_events(connection, events))
    except DBAPIError as error:
        if not refuses_row(error):
            raise
        if len(events) == 1:
            return StoredEach(refused={0: f"userdb refuses it: {error.orig}"})
        # halve until the refused one is alone
        half = len(events) // 2
        first, second = store_each(write, events[:half]), store_each(write, events[half:])
        return StoredEach(
            stored=first.stored + second.stored,
            repeated=first.repeated + second.repeated,
            new=first.new | second.new,
            refused={
                **first.refused,
                **{half + at: why for at, why in second.refused.items()},
            },
        )
    return StoredEach(done.stored, done.repeated, done.new)


def _insert_new(connection: Connection) -> Insert:
    if connection.dialect.name == "sqlite":
        return sqlite_insert(MonitorEvent).on_conflict_do_nothing(index_elements=["event_id"])
    # INSERT IGNORE would also turn errors (text too long) into silently changed data
    return mysql_insert(MonitorEvent).on_duplicate_key_update(event_id=MonitorEvent.event_id)


def refuses_row(error: DBAPIError) -> bool:
    """Whether the database works and won't take a row, now or later."""
    if isinstance(error, (DataError, IntegrityError)):
        return True
    arguments: tuple[Any, ...] = getattr(error.orig, "args", ())
    return bool(arguments) and arguments[0] in _REFUSED_CODES
