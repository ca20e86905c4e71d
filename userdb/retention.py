"""Deleting what is older than it must be kept, a bounded batch of rows a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, select, tuple_

from userdb.errors import ConfigError
from userdb.models import ContainerSample, EventMinute, MonitorEvent, RequestLog, RequestMinute
from userdb.models.base import Base
from userdb.store import Store
from userdb.times import require_aware, to_minute

#: What SQLite's write transactions hold at most.
BATCH_ROWS = 20_000
#: Raw rows, which the analysis doesn't need once they are counted per minute.
RAW_TABLES = ("request_log", "monitor_event")

#: For each table that may be purged, the rows that lie before a time.
_BEFORE: dict[str, tuple[type[Base], Callable[[datetime], ColumnElement[bool]]]] = {
    "request_log": (RequestLog, lambda before: RequestLog.occurred_at < before),
    # an event that isn't counted yet is kept, however old
    "monitor_event": (
        MonitorEvent,
        lambda before: and_(MonitorEvent.rolled_up.is_(True), MonitorEvent.occurred_at < before),
    ),
    "request_minute": (RequestMinute, lambda before: RequestMinute.minute < to_minute(before)),
    "event_minute": (EventMinute, lambda before: EventMinute.minute < to_minute(before)),
    "container_sample": (
        ContainerSample,
        lambda before: ContainerSample.minute < to_minute(before),
    ),
}


def purge(
    store: Store,
    *,
    before: datetime,
    tables: Iterable[str] = RAW_TABLES,
    batch_rows: int = BATCH_ROWS,
) -> dict[str, int]:
    """Delete the rows of ``tables`` that lie before ``before``; return how many, by table.

    Raw tables are purged unless others are named: container_sample and the minute tables are
    what the analysis reads, so deleting from them is deleting history. Each transaction deletes
    at most ``batch_rows`` rows, so other writers get their turn, and a run that was interrupted is
    taken up by the next one.

    Raises:
        ConfigError: a table that can't be purged.
        NaiveDatetimeError: ``before`` has no time zone.
    """
    before = require_aware(before, "before")
    chosen = list(dict.fromkeys(tables))
    unknown = sorted(set(chosen) - set(_BEFORE))
    if unknown:
        raise ConfigError(
            f"can't purge {', '.join(unknown)}; tables with a retention: {', '.join(_BEFORE)}"
        )
    deleted = dict.fromkeys(chosen, 0)
    for name in chosen:
        model, rows_before = _BEFORE[name]
        condition = rows_before(before)
        while True:
            count = store.write(
                partial(_delete_batch, model=model, condition=condition, batch_rows=batch_rows)
            )
            deleted[name] += count
            if count < batch_rows:
                break
    return deleted


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
