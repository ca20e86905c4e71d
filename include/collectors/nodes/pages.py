"""What a node holds, page by page, for those that pull it.

Events are read in the order of their ids; they never change. Minutes of requests and containers
do, as late data comes in: they are read in the order of their changes, each as it is now. So who
reads on from a cursor gets all that was committed since, and what was read twice is the same.

What the node itself pulled from others is left out of requests and containers: they tell that
themselves, and two that pull each other would go round in circles. Events are known by their id,
and may go round.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, RowMapping, Text, and_, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute

from include.collectors.nodes.counts import COLUMNS
from include.collectors.nodes.wire import FAMILIES, Kind
from userdb.errors import InvalidRequestError
from userdb.latency import LATENCY_COLUMNS
from userdb.ledger import family_covered, spans
from userdb.models import (
    ContainerSample,
    MinuteChange,
    MonitorEvent,
    PullCursor,
    RequestMinute,
    Series,
)
from userdb.models.requests import OUTCOMES
from userdb.settled import settled
from userdb.times import from_minute, to_minute

#: A page ends after so many rows or characters, whatever its limit; it has one item at least.
MAX_ROWS = 20_000
MAX_CHARACTERS = 4_000_000
#: Coverage is told of so long at most.
MAX_COVERED_MINUTES = 40 * 24 * 60
_CHANGES = 1000
#: So many ids may be committed while a transaction with an earlier one is still open.
_BEING_INSERTED = 1000
_WHOLE = ("requests", *OUTCOMES, "bytes_sent", "latency_count")
_EVENT_FIELDS = (
    "event_id",
    "event_type",
    "source",
    "level",
    "message",
    "detail",
    "occurred_at",
    "created_at",
    "service",
    "instance",
    "container",
    "exception_type",
    "fingerprint",
)


@dataclass(frozen=True)
class Page:
    """Items, the cursor to read on from, and whether there is more right now.

    ``covered``: spans (first, last) of minutes of which, once there is no more, everything that
    the node measured has been read.
    """

    items: list[dict[str, Any]]
    cursor: str
    more: bool
    covered: list[tuple[int, int]]


@dataclass(frozen=True)
class _Cursor:
    """Read up to ``id``, of whose row ``mark`` tells whether it is still the same.

    ``minute``: of the change after it, minutes before this one are read too.
    """

    kind: str
    id: int = 0
    mark: str = ""
    minute: int = 0

    def encode(self) -> str:
        text = json.dumps([1, *asdict(self).values()], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_page(
    connection: Connection,
    kind: Kind,
    *,
    since: str | None,
    begin: datetime,
    covered_from: datetime,
    limit: int,
    now: datetime,
) -> Page:
    """The page of ``kind`` after the cursor ``since``.

    Args:
        begin: nothing from before is asked for.
        covered_from: coverage is told from here on.
        limit: events, or minutes.

    Raises:
        InvalidRequestError: the cursor is none, or of another kind.
    """
    cursor = _decode(since, kind)
    # first: what is covered was committed before what is read next
    covered = _covered(connection, kind, to_minute(covered_from), to_minute(now))
    if kind == "events":
        found = _events(connection, cursor, begin, limit)
    else:
        found = _minutes(connection, cursor, kind, to_minute(begin), limit)
    # what is held back may be of any minute
    return Page(found.items, found.cursor.encode(), found.more, [] if found.held else covered)


@dataclass(frozen=True)
class _Found:
    """``held``: something is there that can't be passed yet, see ``userdb.settled``."""

    items: list[dict[str, Any]]
    cursor: _Cursor
    more: bool
    held: bool


def _decode(text: str | None, kind: Kind) -> _Cursor:
    if text is None:
        return _Cursor(kind)
    try:
        padded = text + "=" * (-len(text) % 4)
        version, *values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        cursor = _Cursor(*values)
        right = (version, cursor.kind) == (1, kind) and isinstance(cursor.mark, str)
        right = right and all(
            type(number) is int and 0 <= number < 2**63 for number in (cursor.id, cursor.minute)
        )
    except (ValueError, TypeError, binascii.Error, RecursionError):
        right = False
    if not right:
        message = f"is no cursor of {kind}; give the cursor of the page before, or none"
        raise InvalidRequestError(
            f"since: {message}", errors=[{"field": "query.since", "message": message}]
        )
    return cursor


def _covered(connection: Connection, kind: Kind, first: int, stop: int) -> list[tuple[int, int]]:
    first = max(first, stop - MAX_COVERED_MINUTES)
    covered = family_covered(connection, FAMILIES[kind], first, stop)
    return spans((first + np.flatnonzero(covered)).tolist())


def _before(
    connection: Connection, column: InstrumentedAttribute[int], matters: ColumnElement[bool]
) -> int:
    """An id before all that matter, and before those that are being inserted."""
    first = connection.scalar(select(func.min(column)).where(matters))
    if first is None:
        first = connection.scalar(select(func.max(column))) or 0
    return max(first - 1 - _BEING_INSERTED, 0)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# --- events --------------------------------------------------------------------------------------


def _events(connection: Connection, cursor: _Cursor, begin: datetime, limit: int) -> _Found:
    table = MonitorEvent
    mark = connection.scalar(select(table.event_id).where(table.id == cursor.id))
    after = cursor.id
    if mark is None or _hash(mark) != cursor.mark:
        # none, or of another database, or purged up to here: all that is held, from begin on
        after = _before(connection, table.id, table.occurred_at >= begin)
    size = func.length(table.message) + func.coalesce(func.length(cast(table.detail, Text)), 0)
    sizes = connection.execute(
        select(table.id, size).where(table.id > after).order_by(table.id).limit(limit + 1)
    ).all()
    passed = settled(connection, table.id, after, [row[0] for row in sizes])
    taken = _short_enough([row[1] for row in sizes[: min(passed, limit)]])
    held = passed < len(sizes)
    if not taken:
        return _Found([], cursor if after == cursor.id else _Cursor(cursor.kind), False, held)
    last = sizes[taken - 1][0]
    rows = connection.execute(
        select(table.id, *(getattr(table, name) for name in _EVENT_FIELDS))
        .where(table.id > after, table.id <= last)
        .order_by(table.id)
    ).mappings()
    items, mark = [], cursor.mark
    for row in rows:
        if row["occurred_at"] >= begin:
            items.append({name: row[name] for name in _EVENT_FIELDS})
        after, mark = row["id"], _hash(row["event_id"])
    return _Found(items, _Cursor(cursor.kind, after, mark), taken < passed, held)


def _short_enough(sizes: list[int]) -> int:
    """How many events, of so many characters each, fit into a page."""
    total = 0
    for at, size in enumerate(sizes):
        total += size
        if at and total > MAX_CHARACTERS:
            return at
    return len(sizes)


# --- requests and containers ---------------------------------------------------------------------


def _minutes(connection: Connection, cursor: _Cursor, kind: Kind, first: int, limit: int) -> _Found:
    table = MinuteChange
    family = FAMILIES[kind]
    if (cursor.id, cursor.minute) == (0, 0) or _mark_at(connection, cursor.id) != cursor.mark:
        # as for events; changes before the first one that matters needn't be looked at
        matters = and_(table.family == family, table.last_minute >= first)
        after = _before(connection, table.id, matters)
        cursor = _Cursor(cursor.kind, after, _mark_at(connection, after))
    changes = (
        connection.execute(
            select(*table.__table__.columns)
            .where(table.id > cursor.id)
            .order_by(table.id)
            .limit(_CHANGES + 1)
        )
        .mappings()
        .all()
    )
    passed = settled(connection, table.id, cursor.id, [change["id"] for change in changes])
    whole = changes[: min(passed, _CHANGES)]
    while True:
        chosen, reached = _choose(whole, cursor, family, first, limit)
        if limit == 1 or _count(connection, kind, chosen) <= MAX_ROWS:
            break
        limit //= 2
    more = reached.minute > 0 or len(whole) < passed
    items = _items(connection, kind, chosen)
    return _Found(items, reached, more, held=passed < len(changes))


def _choose(
    changes: Sequence[RowMapping], cursor: _Cursor, family: str, first: int, limit: int
) -> tuple[set[int], _Cursor]:
    """At most ``limit`` minutes that changed after the cursor, and the cursor after them."""
    chosen: set[int] = set()
    for change in changes:
        if change["family"] == family:
            low = max(change["first_minute"], first, cursor.minute)
            for minute in range(low, change["last_minute"] + 1):
                if minute not in chosen and len(chosen) == limit:
                    return chosen, replace(cursor, minute=minute)
                chosen.add(minute)
        cursor = _Cursor(cursor.kind, change["id"], change["token"])
    return chosen, cursor


def _mark_at(connection: Connection, change_id: int) -> str:
    """The mark of a change; empty where there is none of this id."""
    table = MinuteChange
    return connection.scalar(select(table.token).where(table.id == change_id)) or ""


def _count(connection: Connection, kind: Kind, minutes: Iterable[int]) -> int:
    table = RequestMinute if kind == "requests" else ContainerSample
    counts = [
        connection.scalar(
            select(func.count()).select_from(table).where(table.minute.between(low, high))
        )
        for low, high in spans(minutes)
    ]
    return sum(count or 0 for count in counts)


def _items(connection: Connection, kind: Kind, minutes: Iterable[int]) -> list[dict[str, Any]]:
    """The minutes as they are now, ascending."""
    found: dict[int, list[dict[str, Any]]] = {minute: [] for minute in sorted(minutes)}
    if not found:
        return []
    nodes = connection.scalars(select(PullCursor.node).distinct()).all()
    others = tuple(f"{node}/" for node in nodes)
    read, label = (_requests, "source") if kind == "requests" else (_containers, "host")
    for low, high in spans(found):
        rows = list(read(connection, low, high))
        labels = _labels(connection, {row["series_id"] for row in rows})
        for row in rows:
            own = labels[row["series_id"]]
            if not own.get(label, "").startswith(others):
                values = {name: row[name] for name in row if name not in ("minute", "series_id")}
                found[row["minute"]].append({**own, **values})
    return [{"minute": from_minute(minute), "rows": rows} for minute, rows in found.items()]


def _labels(connection: Connection, ids: set[int]) -> dict[int, dict[str, str]]:
    wanted = sorted(ids)
    found: dict[int, dict[str, str]] = {}
    for at in range(0, len(wanted), _CHANGES):
        part = wanted[at : at + _CHANGES]
        rows = connection.execute(select(Series.id, Series.labels).where(Series.id.in_(part)))
        found.update((row.id, row.labels) for row in rows)
    return found


def _requests(connection: Connection, low: int, high: int) -> Iterator[dict[str, Any]]:
    table = RequestMinute
    sums = [
        (func.max if name == "latency_max_ms" else func.sum)(getattr(table, name)).label(name)
        for name in COLUMNS
    ]
    rows = connection.execute(
        select(table.minute, table.series_id, *sums)
        .where(table.minute.between(low, high))
        .group_by(table.minute, table.series_id)
        .order_by(table.minute, table.series_id)
    ).mappings()
    for row in rows:
        highest = row["latency_max_ms"]
        # sums come as decimals
        yield {
            **{name: int(row[name]) for name in _WHOLE},
            "minute": row["minute"],
            "series_id": row["series_id"],
            "latency_sum_ms": float(row["latency_sum_ms"]),
            "latency_max_ms": None if highest is None else float(highest),
            "latency_buckets": [int(row[name]) for name in LATENCY_COLUMNS],
        }


_SAMPLE_COLUMNS = [
    column.name
    for column in ContainerSample.__table__.columns
    if column.name not in ("minute", "series_id", "running", "unhealthy")
]


def _containers(connection: Connection, low: int, high: int) -> Iterator[dict[str, Any]]:
    table = ContainerSample
    columns = [getattr(table, name) for name in _SAMPLE_COLUMNS]
    rows = connection.execute(
        select(table.minute, table.series_id, *columns)
        .where(table.minute.between(low, high))
        .order_by(table.minute, table.series_id)
    ).mappings()
    return map(dict, rows)
