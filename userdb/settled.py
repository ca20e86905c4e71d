"""Reading on from an id, without missing rows whose transactions commit late.

Ids are given out when a row is inserted, and a row is seen when it is committed: on a server, row
7 may be there while row 5 is yet to come, and whoever reads on from 7 never sees it. So an id that
is missing is looked at: while a transaction may still bring it, reading stops before it. Ids that
nobody brings (rolled back, purged, burnt by a duplicate) are passed.

SQLite has one writer at a time, so that its ids are committed in order.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstrumentedAttribute

#: Between taking an id and inserting its row, a server's thread holds no lock that could be seen.
#: It takes microseconds; this is how long is waited for it.
_INSERTING_S = 0.2
#: Somebody holds the row: MySQL's NOWAIT, and MariaDB's, which is its lock wait time-out.
_LOCKED = frozenset({3572, 1205})


def settled(
    connection: Connection, column: InstrumentedAttribute[Any], after: int, ids: Sequence[int]
) -> int:
    """How many of ``ids`` can be passed: before none of these may a row still be committed.

    Args:
        column: the autoincrement primary key that ``ids`` were read from.
        after: the id up to which was read before.
        ids: ascending, all that are there after ``after`` up to the last of them.
    """
    if connection.dialect.name == "sqlite":
        return len(ids)
    gaps = [
        (at, low + 1, high - 1)
        for at, (low, high) in enumerate(pairwise([after, *ids]))
        if high > low + 1
    ]
    if not gaps:
        return len(ids)
    time.sleep(_INSERTING_S)
    for at, low, high in gaps:
        if _may_come(connection, column, low, high):
            return at
    return len(ids)


def _may_come(
    connection: Connection, column: InstrumentedAttribute[Any], low: int, high: int
) -> bool:
    """Whether an id in [low, high] is there by now, or in a transaction that is still open."""
    # a locking read sees rows that aren't committed; under READ COMMITTED it locks no gaps, so
    # that it holds up no writer
    query = select(column).where(column.between(low, high)).limit(1)
    try:
        return connection.execute(query.with_for_update(nowait=True)).first() is not None
    except DBAPIError as error:
        if error.orig is not None and error.orig.args and error.orig.args[0] in _LOCKED:
            return True
        raise
