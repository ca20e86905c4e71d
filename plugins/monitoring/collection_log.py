"""The ledger of collections, read: what was tried, for which window, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, select

from userdb.ledger import AWAITED
from userdb.models import Collection

STATUSES = ("ok", "failed", "unavailable", AWAITED)


@dataclass(frozen=True)
class CollectionRow:
    """One source of one attempt to collect a window; a later one has a greater ``id``."""

    id: int
    attempt: str
    collector: str
    source: str
    window_start: datetime
    window_end: datetime
    status: str
    rows: int
    rejected: int
    late: int
    samples: list[dict[str, Any]] | None
    message: str | None
    run_id: str | None
    started_at: datetime
    duration_s: float


_COLLECTION: Select[*tuple[Any, ...]] = select(
    Collection.id,
    Collection.attempt,
    Collection.collector,
    Collection.source,
    Collection.window_start,
    Collection.window_end,
    Collection.status,
    Collection.rows.label("rows"),
    Collection.rejected,
    Collection.late,
    Collection.samples,
    Collection.message,
    Collection.run_id,
    Collection.started_at,
    Collection.duration_s,
)


def list_collections(
    connection: Connection,
    *,
    collector: str | None = None,
    status: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int = 500,
) -> list[CollectionRow]:
    """Attempts whose window overlaps [since, until), newest first, a row a source.

    ``awaited`` is a source of which its process has told nothing: it runs, or it was lost.

    Args:
        before: only rows with a lower id.
    """
    query = _COLLECTION.order_by(Collection.id.desc()).limit(limit)
    if collector is not None:
        query = query.where(Collection.collector == collector)
    if status is not None:
        query = query.where(Collection.status == status)
    if since is not None:
        query = query.where(Collection.window_end > since)
    if until is not None:
        query = query.where(Collection.window_start < until)
    found: list[CollectionRow] = []
    while True:
        page = query if before is None else query.where(Collection.id < before)
        rows = [CollectionRow(**row) for row in connection.execute(page).mappings()]
        found += _still_awaited(connection, rows)
        if len(rows) < limit or len(found) >= limit:
            return found[:limit]
        before = rows[-1].id


def _still_awaited(connection: Connection, rows: list[CollectionRow]) -> list[CollectionRow]:
    """``rows`` without those that await what a source has told since."""
    attempts = {row.attempt for row in rows if row.status == AWAITED}
    if not attempts:
        return rows
    table = Collection
    told = {
        tuple(row)
        for row in connection.execute(
            select(table.attempt, table.collector, table.source).where(
                table.attempt.in_(sorted(attempts)), table.status != AWAITED
            )
        )
    }
    return [
        row
        for row in rows
        if row.status != AWAITED or (row.attempt, row.collector, row.source) not in told
    ]
