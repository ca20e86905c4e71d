"""Storing what a node says of requests: raw rows, minutes that it states, minutes pulled from it.

A minute that a node states is stated whole, and counts as stated: raw rows of it are kept and
shown, and not counted again, whichever came first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from include.collectors.nodes.counts import (
    FAMILY,
    Counts,
    Key,
    added,
    counted,
    drop_counts,
    node_file,
    read_counts,
    write_counts,
)
from include.collectors.nodes.tally import MAX_AGE, RAW_MAX_AGE, Tally, refused_time
from include.collectors.nodes.wire import CountsRow, Malformed, MinuteRow, RequestRow, within
from include.collectors.request_logs.outcome import outcome_of
from userdb.ledger import mark_dirty
from userdb.models import RequestLog
from userdb.retention import read_floors
from userdb.series import fingerprint, intern_series
from userdb.times import from_minute, to_minute

_COPIED = (
    "service",
    "route",
    "instance",
    "method",
    "host",
    "path",
    "status",
    "duration_ms",
    "bytes_sent",
    "client",
    "user",
    "user_agent",
    "request_id",
)
_BATCH = 500


def store_requests(
    connection: Connection, node: str, rows: Sequence[RequestRow | Malformed], *, now: datetime
) -> Tally:
    """Store the raw rows that are new, and add them to their minutes' counts.

    Raises:
        sqlalchemy.exc.DBAPIError: userdb failed; nothing of this call is stored then.
    """
    tally = Tally.of(len(rows))
    kept = _accepted(rows, tally, now=now, floor=_floor(connection))
    if not kept:
        return tally
    file_id = node_file(connection, f"push:{node}", now)
    stated = node_file(connection, f"push-minutes:{node}", now)
    keys = {index: (row.occurred_at, _offset(row.id)) for index, row in kept.items()}
    known = _known(connection, file_id, list(keys.values()))
    new: dict[int, RequestRow] = {}
    for index, row in kept.items():
        if keys[index] in known:
            tally.repeat(index)
        else:
            known.add(keys[index])
            new[index] = row
    if not new:
        return tally
    records = [_record(row, node, file_id) for row in new.values()]
    for at in range(0, len(records), _BATCH):
        connection.execute(insert(RequestLog), records[at : at + _BATCH])
    minutes = {to_minute(row.occurred_at) for row in new.values()}
    whole = {minute for minute, _ in read_counts(connection, stated, minutes)}
    _add(
        connection,
        file_id,
        node,
        [row for row in new.values() if to_minute(row.occurred_at) not in whole],
    )
    return tally


def store_minutes(
    connection: Connection, node: str, rows: Sequence[MinuteRow | Malformed], *, now: datetime
) -> Tally:
    """Make a node's counts of its minutes what it states; the same again is a repetition.

    Raises:
        sqlalchemy.exc.DBAPIError: userdb failed; nothing of this call is stored then.
    """
    tally = Tally.of(len(rows))
    floor = _floor(connection)
    kept: dict[int, MinuteRow] = {}
    for index, row in enumerate(rows):
        if isinstance(row, Malformed):
            tally.reject(index, None, row.field, row.message)
        elif why := refused_time(row.minute, now=now, max_age=MAX_AGE, floor=floor):
            tally.reject(index, None, "minute", why)
        else:
            kept[index] = row
    if not kept:
        return tally
    raw = node_file(connection, f"push:{node}", now)
    stated = node_file(connection, f"push-minutes:{node}", now)
    labels = {
        index: {**row.labels, "source": within(node, row.source) if row.source else node}
        for index, row in kept.items()
    }
    series = intern_series(connection, FAMILY, labels.values())
    minutes = {to_minute(row.minute) for row in kept.values()}
    stored = read_counts(connection, stated, minutes)
    changed: dict[Key, Counts] = {}
    for index, row in kept.items():
        key = to_minute(row.minute), series[fingerprint(labels[index])]
        if (changed.get(key) or stored.get(key)) == row.counts:
            tally.repeat(index)
        else:
            changed[key] = row.counts
    write_counts(connection, stated, changed)
    from_rows = read_counts(connection, raw, minutes)
    drop_counts(connection, raw, from_rows)
    mark_dirty(connection, FAMILY, [minute for minute, _ in (*changed, *from_rows)])
    return tally


def replace_minutes(
    connection: Connection, node: str, minutes: Mapping[int, Sequence[CountsRow]], *, now: datetime
) -> int:
    """Make what was pulled of these minutes of a node what is given; how many of them changed."""
    if not minutes:
        return 0
    file_id = node_file(connection, f"pull:{node}", now)
    label_sets = {
        (minute, at): {**row.labels, "source": within(node, row.source)}
        for minute, rows in minutes.items()
        for at, row in enumerate(rows)
    }
    series = intern_series(connection, FAMILY, label_sets.values())
    fresh = {
        (minute, series[fingerprint(labels)]): minutes[minute][at].counts
        for (minute, at), labels in label_sets.items()
    }
    stored = read_counts(connection, file_id, minutes)
    gone = stored.keys() - fresh.keys()
    changed = {key: counts for key, counts in fresh.items() if stored.get(key) != counts}
    drop_counts(connection, file_id, gone)
    write_counts(connection, file_id, changed)
    dirty = {minute for minute, _ in (*changed, *gone)}
    mark_dirty(connection, FAMILY, sorted(dirty))
    return len(dirty)


def _accepted(
    rows: Sequence[RequestRow | Malformed], tally: Tally, *, now: datetime, floor: datetime | None
) -> dict[int, RequestRow]:
    kept: dict[int, RequestRow] = {}
    for index, row in enumerate(rows):
        if isinstance(row, Malformed):
            tally.reject(index, None, row.field, row.message)
        elif why := refused_time(row.occurred_at, now=now, max_age=RAW_MAX_AGE, floor=floor):
            tally.reject(index, row.id, "occurred_at", why)
        else:
            kept[index] = row
    return kept


def _add(connection: Connection, file_id: int, node: str, rows: Sequence[RequestRow]) -> None:
    """Add raw rows to the counts of their minutes."""
    labels = [_labels(row, node) for row in rows]
    series = intern_series(connection, FAMILY, labels)
    minutes = {to_minute(row.occurred_at) for row in rows}
    total = read_counts(connection, file_id, minutes)
    changed: dict[Key, Counts] = {}
    for row, own in zip(rows, labels, strict=True):
        key = to_minute(row.occurred_at), series[fingerprint(own)]
        before = changed.get(key) or total.get(key)
        changed[key] = counted(row) if before is None else added(before, counted(row))
    write_counts(connection, file_id, changed)
    mark_dirty(connection, FAMILY, sorted(minutes))


def _known(
    connection: Connection, file_id: int, keys: Sequence[tuple[datetime, int]]
) -> set[tuple[datetime, int]]:
    """Which of the keys (time, offset) are stored."""
    table = RequestLog
    found: set[tuple[datetime, int]] = set()
    for at in range(0, len(keys), _BATCH):
        part = keys[at : at + _BATCH]
        rows = connection.execute(
            select(table.occurred_at, table.byte_offset).where(
                table.file_id == file_id,
                table.occurred_at.between(min(part)[0], max(part)[0]),
                table.byte_offset.in_([offset for _, offset in part]),
            )
        )
        found.update((row.occurred_at, row.byte_offset) for row in rows)
    return found


def _record(row: RequestRow, node: str, file_id: int) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in _COPIED},
        "occurred_at": row.occurred_at,
        "file_id": file_id,
        "byte_offset": _offset(row.id),
        "source": node,
        "outcome": outcome_of(row.status),
        "outcome_reason": f"status={row.status}",
    }


def _labels(row: RequestRow, node: str) -> dict[str, str]:
    names = ("service", "route", "instance")
    return {name: value for name in names if (value := getattr(row, name))} | {"source": node}


def _offset(mark: str) -> int:
    """What stands for the place in a file of a row that comes from none: of its id, 63 bits."""
    return int.from_bytes(hashlib.sha256(mark.encode()).digest()[:8]) >> 1


def _floor(connection: Connection) -> datetime | None:
    minute = read_floors(connection).get(FAMILY)
    return None if minute is None else from_minute(minute)
