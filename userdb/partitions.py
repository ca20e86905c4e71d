"""Daily partitions of the raw and minute tables on a server. SQLite has none.

A partition ``d20260310`` holds the 10th of March 2026, UTC. The first one holds whatever is older
too, so no row ever fails for want of a partition: neither a backfilled old one nor, thanks to the
last partition ``future``, a new one. Old days go by dropping their partition, which takes no longer
for a million rows than for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Column, Connection, Integer, Table, func, select, text

from userdb.errors import UserdbUnavailable
from userdb.models import Base
from userdb.store import Store
from userdb.times import from_minute, require_aware, to_minute

DAY = timedelta(days=1)
#: How many whole days after today have their partition already.
DAYS_AHEAD = 7
#: Older rows share the first partition. A statement that names no time looks into each.
MAX_DAYS = 366
#: Takes what is newer than every day that has a partition.
FUTURE = "future"
#: Their columns of time, which every unique key of theirs contains.
PARTITIONED = {
    "request_log": "occurred_at",
    "request_minute": "minute",
    "event_minute": "minute",
    "container_sample": "minute",
}
#: An ALTER waits for who reads the table, and everybody else waits for it.
_PATIENCE_S = 5
_LOCK_S = 60


@dataclass(frozen=True)
class Partition:
    """Rows from before ``until`` that lie in no partition before this one; None: all of them.

    ``rows`` and ``bytes``, indexes included, are the server's estimates.
    """

    name: str
    until: datetime | None
    rows: int
    bytes: int


def start_of_day(at: datetime) -> datetime:
    """The UTC midnight at or before ``at``.

    Raises:
        NaiveDatetimeError: ``at`` has no time zone.
    """
    return require_aware(at).replace(hour=0, minute=0, second=0, microsecond=0)


def read_partitions(connection: Connection, table: str) -> tuple[Partition, ...]:
    """The table's partitions in the order of time; none on SQLite, or where it isn't partitioned.

    Raises:
        KeyError: a table that never has any.
    """
    column = _column(table)
    if connection.dialect.name == "sqlite":
        return ()
    rows = connection.execute(
        text(
            "SELECT partition_name AS name, partition_description AS bound, table_rows AS number, "
            "data_length + index_length AS size FROM information_schema.partitions "
            "WHERE table_schema = DATABASE() AND table_name = :table "
            "AND partition_name IS NOT NULL ORDER BY partition_ordinal_position"
        ),
        {"table": table},
    )
    return tuple(
        Partition(row.name, _until(column, row.bound), int(row.number or 0), int(row.size or 0))
        for row in rows
    )


def partition(connection: Connection, table: str) -> None:
    """Partition a table that isn't: a day each for its newest rows, and one for the future.

    It is one statement, which copies the table and lets nobody write to it meanwhile. If that is
    interrupted the table is as it was. Does nothing on SQLite.
    """
    if connection.dialect.name == "sqlite" or read_partitions(connection, table):
        return
    column = _column(table)
    oldest, newest = connection.execute(select(func.min(column), func.max(column))).one()
    days = [] if oldest is None else _days(_day_of(oldest), _day_of(newest))
    connection.exec_driver_sql(
        f"ALTER TABLE {table} PARTITION BY {_range(column)} ({_definitions(column, days)})"
    )


def keep_partitions(store: Store, *, now: datetime, ahead: int = DAYS_AHEAD) -> dict[str, int]:
    """Give each day up to ``ahead`` days after ``now`` its partition; return how many were made,
    by table.

    Runs that start at once wait for each other, and the second one finds nothing to do.

    Raises:
        UserdbUnavailable: a table was in use for so long that it could not be altered, or another
            process has been at it for a minute. The next run takes it up: until then, rows go to
            the partition ``future``.
        NaiveDatetimeError: ``now`` has no time zone.
    """
    until = start_of_day(now) + ahead * DAY

    def make(table: str) -> Callable[[Connection], int]:
        def work(connection: Connection) -> int:
            column = _column(table)
            present = read_partitions(connection, table)
            if not present or present[-1].name != FUTURE:
                return 0
            begin = present[-2].until if len(present) > 1 else None
            if begin is None:
                oldest = connection.scalar(select(func.min(column)))
                today = start_of_day(now)
                begin = today if oldest is None else min(_day_of(oldest), today)
            days = _days(begin, until)
            if days:
                connection.exec_driver_sql(
                    f"ALTER TABLE {table} REORGANIZE PARTITION {FUTURE} "
                    f"INTO ({_definitions(column, days)})"
                )
            return len(days)

        return work

    if store.is_sqlite:
        return dict.fromkeys(PARTITIONED, 0)
    return {table: store.write(_altering(store, make(table))) for table in PARTITIONED}


def whole_days(connection: Connection, table: str, before: datetime) -> datetime:
    """Up to when a table is purged that may lose its rows from before ``before``.

    That is the beginning of the day where the day has a partition: it goes when it is over.
    """
    if table not in PARTITIONED:
        return before
    midnight = start_of_day(before)
    for one in read_partitions(connection, table):
        if one.until is not None and one.until >= before:
            return midnight
    return before


def droppable(connection: Connection, table: str, before: datetime) -> tuple[Partition, ...]:
    """The partitions all of whose rows lie before ``before``, with the oldest first."""
    if table not in PARTITIONED:
        return ()
    return tuple(
        one
        for one in read_partitions(connection, table)
        if one.until is not None and one.until <= before
    )


def drop_partitions(store: Store, table: str, before: datetime) -> int:
    """Drop the partitions all of whose rows lie before ``before``; return how many rows, about.

    The rows are gone at once, and not as part of a transaction: what must be known before that is
    committed before this is called.

    Raises:
        UserdbUnavailable: as ``keep_partitions``.
    """

    def work(connection: Connection) -> int:
        found = droppable(connection, table, before)
        if found:
            names = ", ".join(one.name for one in found)
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP PARTITION {names}")
        return sum(one.rows for one in found)

    return store.write(_altering(store, work))


def _altering(store: Store, work: Callable[[Connection], int]) -> Callable[[Connection], int]:
    def locked(connection: Connection) -> int:
        with _alone(store, connection):
            return work(connection)

    return locked


@contextmanager
def _alone(store: Store, connection: Connection) -> Iterator[None]:
    """Nobody else alters partitions, and an ALTER gives up soon rather than hold up everybody."""
    name = connection.scalar(text("SELECT CONCAT('userdb_partitions_', MD5(DATABASE()))"))
    lock = {"name": name, "seconds": _LOCK_S}
    if connection.scalar(text("SELECT GET_LOCK(:name, :seconds)"), lock) != 1:
        raise UserdbUnavailable(
            f"another process has been changing the partitions of userdb at {store.url} for "
            f"{_LOCK_S} seconds; wait for it, or end it, and try again"
        )
    try:
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {_PATIENCE_S}")
        yield
    finally:
        # a connection that was lost has lost both already
        if not connection.invalidated:
            connection.exec_driver_sql("SET SESSION lock_wait_timeout = DEFAULT")
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), lock)


def _column(table: str) -> Column[object]:
    declared: Table = Base.metadata.tables[table]
    return declared.c[PARTITIONED[table]]


def _range(column: Column[object]) -> str:
    return f"RANGE{'' if _in_minutes(column) else ' COLUMNS'} ({column.name})"


def _in_minutes(column: Column[object]) -> bool:
    return isinstance(column.type, Integer)


def _until(column: Column[object], bound: str) -> datetime | None:
    if bound == "MAXVALUE":
        return None
    if _in_minutes(column):
        return from_minute(int(bound))
    return datetime.fromisoformat(bound.strip("'")).replace(tzinfo=UTC)


def _day_of(value: object) -> datetime:
    return start_of_day(from_minute(value) if isinstance(value, int) else value)  # type: ignore[arg-type]


def _days(first: datetime, last: datetime) -> list[datetime]:
    first = max(first, last - (MAX_DAYS - 1) * DAY)
    return [first + number * DAY for number in range((last - first) // DAY + 1)]


def _definitions(column: Column[object], days: Sequence[datetime]) -> str:
    listed = []
    for day in days:
        end = day + DAY
        bound = str(to_minute(end)) if _in_minutes(column) else f"'{end:%Y-%m-%d} 00:00:00'"
        listed.append(f"PARTITION d{day:%Y%m%d} VALUES LESS THAN ({bound})")
    return ", ".join([*listed, f"PARTITION {FUTURE} VALUES LESS THAN (MAXVALUE)"])
