"""How far a node has been read: written with what was read, and by one reader at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, and_, select, update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from include.collectors.nodes.wire import Kind
from userdb.models import PullCursor
from userdb.times import from_minute, to_minute


@dataclass(frozen=True)
class Position:
    """Where to read on: after ``cursor``, and nothing from before ``begin``.

    ``begin`` stays where it was at first: what comes late is read however old it is.
    """

    cursor: str | None
    begin: datetime


def open_position(
    connection: Connection, node: str, kind: Kind, *, begin: datetime, now: datetime
) -> Position:
    """Where to read on, for someone who wants all there is from ``begin`` on.

    A node that was never asked for so long ago is read from the beginning again; what was read
    before is the same then.
    """
    first = to_minute(begin)
    _add(connection, node, kind, first, now)
    row = connection.execute(_row(node, kind).with_for_update()).one()
    if first < row.since_minute:
        connection.execute(
            update(PullCursor).where(_is(node, kind)).values(cursor=None, since_minute=first)
        )
        return Position(None, from_minute(first))
    return Position(row.cursor, from_minute(row.since_minute))


def move(
    connection: Connection,
    node: str,
    kind: Kind,
    *,
    at: str | None,
    to: str,
    now: datetime,
) -> bool:
    """Move the cursor, in the transaction that stores the page; false where it isn't ``at`` any
    more, as somebody else has moved it: the page is not to be stored then."""
    row = connection.execute(_row(node, kind).with_for_update()).one()
    if row.cursor != at:
        return False
    connection.execute(update(PullCursor).where(_is(node, kind)).values(cursor=to, pulled_at=now))
    return True


def _add(connection: Connection, node: str, kind: Kind, first: int, now: datetime) -> None:
    values = {
        "node": node,
        "kind": kind,
        "cursor": None,
        "since_minute": first,
        "pulled_at": now,
    }
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite_insert(PullCursor).values(values).on_conflict_do_nothing())
        return
    statement = mysql_insert(PullCursor).values(values)
    connection.execute(statement.on_duplicate_key_update(node=statement.inserted.node))


def _row(node: str, kind: Kind) -> Select[str | None, int]:
    return select(PullCursor.cursor, PullCursor.since_minute).where(_is(node, kind))


def _is(node: str, kind: Kind) -> ColumnElement[bool]:
    return and_(PullCursor.node == node, PullCursor.kind == kind)
