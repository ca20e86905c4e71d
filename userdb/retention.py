"""Deleting what is older than it must be kept: by the day where days have partitions, else a
bounded batch of rows a transaction.

What the analysis reads is deleted behind a floor that is stored first: who looks back past it
knows that rows which aren't there may have been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, select, true, tuple_
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from userdb.errors import ConfigError
from userdb.models import (
    ContainerSample,
    EventMinute,
    MinuteChange,
    MonitorEvent,
    RequestLog,
    RequestMinute,
    RetentionFloor,
)
from userdb.models.base import Base
from userdb.partitions import drop_partitions, droppable, whole_days
from userdb.store import Store
from userdb.times import require_aware, to_minute

#: What SQLite's write transactions hold at most.
BATCH_ROWS = 20_000


@dataclass(frozen=True)
class _Purged:
    """A table that may be purged.

    ``before`` gives its rows that lie before a time; ``family`` is the family whose facts they are,
    None for raw rows, which the analysis doesn't need once they are counted per minute.
    """

    model: type[Base]
    before: Callable[[datetime], ColumnElement[bool]]
    family: str | None = None


_PURGED: dict[str, _Purged] = {
    "request_log": _Purged(RequestLog, lambda before: RequestLog.occurred_at < before),
    # an event that isn't counted yet is kept, however old
    "monitor_event": _Purged(
        MonitorEvent,
        lambda before: and_(MonitorEvent.rolled_up == true(), MonitorEvent.occurred_at < before),
    ),
    "request_minute": _Purged(
        RequestMinute, lambda before: RequestMinute.minute < to_minute(before), "request"
    ),
    "event_minute": _Purged(
        EventMinute, lambda before: EventMinute.minute < to_minute(before), "event"
    ),
    "container_sample": _Purged(
        ContainerSample, lambda before: ContainerSample.minute < to_minute(before), "container"
    ),
}
TABLES = tuple(_PURGED)
RAW_TABLES = tuple(name for name, one in _PURGED.items() if one.family is None)
#: What the analysis reads, table to family.
MINUTE_TABLES = {name: one.family for name, one in _PURGED.items() if one.family is not None}


def read_floors(connection: Connection) -> dict[str, int]:
    """For each family that was purged, its first minute that is still whole.

    Who reads facts reads this after them: a floor that lies before all of them means that nothing
    of them was purged yet when they were read.
    """
    rows = connection.execute(select(RetentionFloor.family, RetentionFloor.first_minute))
    return {row.family: row.first_minute for row in rows}


def purge(
    store: Store,
    *,
    before: datetime,
    tables: Iterable[str] = RAW_TABLES,
    batch_rows: int = BATCH_ROWS,
) -> dict[str, int]:
    """Delete the rows of ``tables`` that lie before ``before``; return how many, by table.

    Raw tables are purged unless others are named: container_sample and the minute tables are
    what the analysis reads, so deleting from them is deleting history, and raises their floor.
    Each transaction deletes at most ``batch_rows`` rows, so other writers get their turn, and a run
    that was interrupted is taken up by the next one.

    Where days have partitions, a day goes when all of it lies before ``before``, by dropping its
    partition; of those rows the number is the server's estimate.

    Raises:
        ConfigError: a table that can't be purged.
        UserdbUnavailable: a table was in use for so long that it could not be altered.
        NaiveDatetimeError: ``before`` has no time zone.
    """
    before = require_aware(before, "before")
    chosen = list(dict.fromkeys(tables))
    unknown = sorted(set(chosen) - set(_PURGED))
    if unknown:
        raise ConfigError(
            f"can't purge {', '.join(unknown)}; tables with a retention: {', '.join(_PURGED)}"
        )
    deleted = dict.fromkeys(chosen, 0)
    for name in chosen:
        deleted[name] = _purge_table(store, name, before, batch_rows)
    return deleted


def _purge_table(store: Store, name: str, before: datetime, batch_rows: int) -> int:
    with store.read() as connection:
        before = whole_days(connection, name, before)
        whole = bool(droppable(connection, name, before))
    family = _PURGED[name].family
    deleted = 0
    if whole:
        if family is not None:
            # a partition is dropped outside of any transaction: the floor has to be there before
            store.write(partial(_raise_floor, family=family, minute=to_minute(before)))
        deleted += drop_partitions(store, name, before)
    work = partial(_purge_batch, purged=_PURGED[name], before=before, batch_rows=batch_rows)
    while True:
        count = store.write(work)
        deleted += count
        if count < batch_rows:
            break
    if family is not None:
        forget = partial(
            _forget_changes, family=family, before=to_minute(before), batch_rows=batch_rows
        )
        while store.write(forget) == batch_rows:
            pass
    return deleted


def _purge_batch(connection: Connection, purged: _Purged, before: datetime, batch_rows: int) -> int:
    if purged.family is not None:
        _raise_floor(connection, purged.family, to_minute(before))
    return _delete_batch(connection, purged.model, purged.before(before), batch_rows)


def _forget_changes(connection: Connection, *, family: str, before: int, batch_rows: int) -> int:
    """Delete what says that minutes changed which were purged."""
    # the newest stays: SQLite would give its id to the next one, which nobody would read
    newest = connection.scalar(select(func.max(MinuteChange.id))) or 0
    condition = and_(
        MinuteChange.family == family,
        MinuteChange.last_minute < before,
        MinuteChange.id < newest,
    )
    return _delete_batch(connection, MinuteChange, condition, batch_rows)


def _raise_floor(connection: Connection, family: str, minute: int) -> None:
    """Make ``minute`` the family's floor, unless that is higher already."""
    floor, row = RetentionFloor.first_minute, {"family": family, "first_minute": minute}
    if connection.dialect.name == "sqlite":
        new = sqlite_insert(RetentionFloor).values(row)
        connection.execute(
            new.on_conflict_do_update(
                index_elements=["family"],
                set_={"first_minute": func.max(floor, new.excluded.first_minute)},
            )
        )
        return
    insert = mysql_insert(RetentionFloor).values(row)
    connection.execute(
        insert.on_duplicate_key_update(
            first_minute=func.greatest(floor, insert.inserted.first_minute)
        )
    )


def _delete_batch(
    connection: Connection, model: type[Base], condition: ColumnElement[bool], batch_rows: int
) -> int:
    table: Table = model.__table__  # type: ignore[assignment]
    keys = list(table.primary_key)
    if connection.dialect.name == "sqlite":
        # SQLite is usually built without DELETE … LIMIT
        oldest = select(*keys).where(condition).order_by(*keys).limit(batch_rows)
        return connection.execute(delete(table).where(tuple_(*keys).in_(oldest))).rowcount
    statement = delete(table).where(condition).with_dialect_options(mysql_limit=batch_rows)
    return connection.execute(statement).rowcount
