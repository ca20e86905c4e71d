"""Sums over the whole ledger of collections, for counters that are read again and again.

A ledger grows by a million rows a year, and none of them is changed or deleted. So what was summed
once is kept, but for the newest rows: ids are committed in another order than they are given out,
and the sums take in what comes late among them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from sqlalchemy import Connection, func, select

from userdb.ledger import AWAITED
from userdb.models import Collection

STATES = ("ok", "failed", "unavailable")
#: The newest rows are summed at each reading: no transaction is open while so many are written.
_UNSETTLED = 10_000

#: By collector and status: attempts, rows, rejected, late.
_Sums = dict[tuple[str, str], tuple[int, int, int, int]]


@dataclass(frozen=True)
class LedgerTotals:
    """All that a collector's ledger holds: rows taken, rejected, late; windows by how they went,
    a source each."""

    rows: int
    rejected: int
    late: int
    attempts: dict[str, int]


@dataclass
class LedgerSums:
    """What was summed of one userdb: rows up to the id ``until``. Several threads may read."""

    until: int = 0
    settled: _Sums = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def read(self, connection: Connection, collectors: Sequence[str]) -> dict[str, LedgerTotals]:
        """Totals of ``collectors``, zeros included, and of all others that the ledger names.

        The first reading costs a pass over the ledger, each other one a fixed number of rows.
        """
        with self._lock:
            newest = int(connection.scalar(select(func.max(Collection.id))) or 0)
            if newest < self.until:  # another userdb, or one that was restored
                self.until, self.settled = 0, {}
            until = max(self.until, newest - _UNSETTLED)
            if until > self.until:
                self.settled = _plus(self.settled, _sums(connection, self.until, until))
                self.until = until
            found = _plus(self.settled, _sums(connection, until, None))
        return _totals(found, collectors)


def _sums(connection: Connection, after: int, until: int | None) -> _Sums:
    table = Collection
    query = (
        select(
            table.collector,
            table.status,
            func.count().label("attempts"),
            func.sum(table.rows).label("taken"),
            func.sum(table.rejected).label("rejected"),
            func.sum(table.late).label("late"),
        )
        .where(table.id > after, table.status != AWAITED)
        .group_by(table.collector, table.status)
    )
    if until is not None:
        query = query.where(table.id <= until)
    return {
        (row.collector, row.status): (
            row.attempts,
            int(row.taken),
            int(row.rejected),
            int(row.late),
        )
        for row in connection.execute(query)
    }


def _plus(one: _Sums, other: _Sums) -> _Sums:
    found = dict(one)
    for key, (attempts, taken, rejected, late) in other.items():
        before = found.get(key, (0, 0, 0, 0))
        found[key] = (
            before[0] + attempts,
            before[1] + taken,
            before[2] + rejected,
            before[3] + late,
        )
    return found


def _totals(sums: _Sums, collectors: Sequence[str]) -> dict[str, LedgerTotals]:
    attempts: dict[str, dict[str, int]] = {name: dict.fromkeys(STATES, 0) for name in collectors}
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (name, status), (number, *parts) in sums.items():
        attempts.setdefault(name, {})[status] = number
        counts[name] = [a + b for a, b in zip(counts[name], parts, strict=True)]
    found = {}
    for name, of_it in attempts.items():
        rows, rejected, late = counts[name]
        found[name] = LedgerTotals(rows, rejected, late, of_it)
    return found
