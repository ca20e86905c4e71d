"""Counts of requests per minute and label set that a node's requests are made of: pure, and stored.

What a node sent has files of its own in userdb: one for raw rows, one for the minutes that it
states, one for what was pulled from it. Readers sum over files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, tuple_
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from include.collectors.nodes.wire import RequestRow
from include.collectors.request_logs.outcome import outcome_of
from userdb.latency import LATENCY_BOUNDS_MS, LATENCY_COLUMNS
from userdb.ledger import spans
from userdb.models import RequestMinute, SourceFile
from userdb.models.requests import OUTCOMES
from userdb.series import touch_series

FAMILY = "request"
#: (minute, series id)
Key = tuple[int, int]
#: The columns of request_minute beside its key.
Counts = dict[str, Any]
COLUMNS = (
    "requests",
    *OUTCOMES,
    "bytes_sent",
    "latency_count",
    "latency_sum_ms",
    "latency_max_ms",
    *LATENCY_COLUMNS,
)
_BATCH = 500


def counted(row: RequestRow) -> Counts:
    """What one request adds to its minute."""
    counts: Counts = dict.fromkeys(COLUMNS, 0) | {"latency_sum_ms": 0.0, "latency_max_ms": None}
    counts["requests"] = counts[outcome_of(row.status)] = 1
    counts["bytes_sent"] = row.bytes_sent or 0
    if row.duration_ms is not None:
        counts["latency_count"] = counts[bucket(row.duration_ms)] = 1
        counts["latency_sum_ms"] = counts["latency_max_ms"] = row.duration_ms
    return counts


def bucket(duration_ms: float) -> str:
    """The column of the histogram that counts a duration."""
    for bound, column in zip(LATENCY_BOUNDS_MS, LATENCY_COLUMNS, strict=False):
        if duration_ms <= bound:
            return column
    return LATENCY_COLUMNS[-1]


def added(one: Counts, other: Counts) -> Counts:
    """The counts of both together."""
    total = {name: one[name] + other[name] for name in COLUMNS if name != "latency_max_ms"}
    highest = [
        value for value in (one["latency_max_ms"], other["latency_max_ms"]) if value is not None
    ]
    return total | {"latency_max_ms": max(highest, default=None)}


def node_file(connection: Connection, name: str, now: datetime) -> int:
    """The id of what stands for a file where a node says something; ``name`` as push:gw-1.

    Until the transaction ends, whoever else asks for it waits.
    """
    values = {
        "source": name,
        "prefix_length": 0,
        "prefix_hash": hashlib.sha256(name.encode()).hexdigest(),
        "path": name,
        "size": 0,
        "first_seen": now,
        "last_seen": now,
    }
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite_insert(SourceFile).values(values).on_conflict_do_nothing())
    else:
        known = connection.scalar(select(SourceFile.id).where(SourceFile.source == name))
        if known is None:  # each upsert would use up an id
            statement = mysql_insert(SourceFile).values(values)
            connection.execute(statement.on_duplicate_key_update(source=statement.inserted.source))
    return connection.execute(
        select(SourceFile.id).where(SourceFile.source == name).with_for_update()
    ).scalar_one()


def read_counts(
    connection: Connection, file_id: int, minutes: Collection[int]
) -> dict[Key, Counts]:
    """What is stored of a file in these minutes."""
    found: dict[Key, Counts] = {}
    for low, high in spans(minutes):
        rows = connection.execute(
            select(RequestMinute).where(
                RequestMinute.file_id == file_id, RequestMinute.minute.between(low, high)
            )
        ).mappings()
        for row in rows:
            found[row["minute"], row["series_id"]] = {name: row[name] for name in COLUMNS}
    return found


def write_counts(connection: Connection, file_id: int, counts: Mapping[Key, Counts]) -> None:
    """Make a file's rows with these keys what is given, and widen the life of their series."""
    if not counts:
        return
    drop_counts(connection, file_id, counts)
    rows = [
        {"minute": minute, "series_id": series, "file_id": file_id, **values}
        for (minute, series), values in sorted(counts.items())
    ]
    for at in range(0, len(rows), _BATCH):
        connection.execute(insert(RequestMinute), rows[at : at + _BATCH])
    lives: dict[int, tuple[int, int]] = {}
    for minute, series in counts:
        first, last = lives.get(series, (minute, minute))
        lives[series] = (min(first, minute), max(last, minute))
    touch_series(connection, lives)


def drop_counts(connection: Connection, file_id: int, keys: Iterable[Key]) -> None:
    """Delete a file's rows with these keys."""
    wanted = sorted(keys)
    table = RequestMinute
    for at in range(0, len(wanted), _BATCH):
        connection.execute(
            delete(table).where(
                table.file_id == file_id,
                tuple_(table.minute, table.series_id).in_(wanted[at : at + _BATCH]),
            )
        )
