"""The ledger of collections: what is covered, and what the analysis must look at again.

Coverage. A minute is covered for a collector when, for some attempt at it, every source that the
attempt named has been collected successfully for that minute, by that attempt or another. So a
failed attempt never takes coverage away, and the order of attempts doesn't matter.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from userdb.times import from_minute, to_minute
from userdb.models import Collection, Dirty, PolicyState

#: Rejected inputs kept as samples per source and collection.
MAX_SAMPLES = 10


@dataclass(frozen=True)
class Rejected:
    """An input that could not be taken: where it was, why, and its first characters."""

    where: str
    why: str
    text: str = ""


@dataclass(frozen=True)
class SourceReport:
    """What came of one source. ``status``: ok, failed, or unavailable (can't tell any more)."""

    source: str
    status: str
    rows: int = 0
    rejected: int = 0
    late: int = 0
    samples: tuple[Rejected, ...] = ()
    message: str | None = None


@dataclass(frozen=True)
class CollectionReport:
    """What came of one attempt of one collector at the window [start, end)."""

    collector: str
    start: datetime
    end: datetime
    sources: tuple[SourceReport, ...]
    started_at: datetime
    duration_s: float
    attempt: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def ok(self) -> bool:
        return all(source.status == "ok" for source in self.sources)

    @property
    def rows(self) -> int:
        return sum(source.rows for source in self.sources)

    @property
    def rejected(self) -> int:
        return sum(source.rejected for source in self.sources)

    @property
    def late(self) -> int:
        return sum(source.late for source in self.sources)


def record(
    connection: Connection, report: CollectionReport, family: str, run_id: str | None
) -> None:
    """Write a report to the ledger, and mark its window dirty where coverage may have changed."""
    first, last = to_minute(report.start), to_minute(report.end) - 1
    before = covered_minutes(connection, report.collector, first, last + 1)
    connection.execute(
        Collection.__table__.insert(),  # type: ignore[attr-defined]
        [
            {
                "attempt": report.attempt,
                "collector": report.collector,
                "source": source.source,
                "window_start": report.start,
                "window_end": report.end,
                "status": source.status,
                "row_count": source.rows,
                "rejected": source.rejected,
                "late": source.late,
                "samples": [vars(sample) for sample in source.samples[:MAX_SAMPLES]] or None,
                "message": source.message,
                "run_id": run_id,
                "started_at": report.started_at,
                "duration_s": report.duration_s,
            }
            for source in report.sources
        ],
    )
    after = covered_minutes(connection, report.collector, first, last + 1)
    mark_dirty(connection, family, (first + np.flatnonzero(before != after)).tolist())


def covered_minutes(
    connection: Connection, collector: str, first: int, stop: int
) -> NDArray[np.bool_]:
    """Whether each minute of [first, stop) is covered for ``collector``; shape (stop - first,)."""
    table = Collection
    rows = connection.execute(
        select(table.attempt, table.source, table.status, table.window_start, table.window_end)
        .where(
            table.collector == collector,
            table.window_end > from_minute(first),
            table.window_start < from_minute(stop),
        )
        .order_by(table.id)
    ).all()
    size = max(stop - first, 0)
    attempts: dict[str, tuple[slice, set[str]]] = {}
    collected: dict[str, NDArray[np.bool_]] = {}
    for row in rows:
        low = max(to_minute(row.window_start) - first, 0)
        within = slice(low, min(to_minute(row.window_end) - first, size))
        attempts.setdefault(row.attempt, (within, set()))[1].add(row.source)
        if row.status == "ok":
            done = collected.setdefault(row.source, np.zeros(size, dtype=np.bool_))
            done[within] = True
    covered = np.zeros(size, dtype=np.bool_)
    for within, sources in attempts.values():
        if all(source in collected for source in sources):
            covered[within] |= np.logical_and.reduce(
                [collected[source][within] for source in sources]
            )
    return covered


def spans(minutes: Iterable[int]) -> list[tuple[int, int]]:
    """Minutes as maximal inclusive spans, ascending."""
    result: list[tuple[int, int]] = []
    for minute in sorted(set(minutes)):
        if result and result[-1][1] + 1 == minute:
            result[-1] = (result[-1][0], minute)
        else:
            result.append((minute, minute))
    return result


def mark_dirty(connection: Connection, family: str, minutes: Sequence[int]) -> None:
    """Tell every policy over ``family`` that the facts of these minutes changed.

    Call it in the transaction that changes them.
    """
    changed = spans(minutes)
    if not changed:
        return
    policies = connection.scalars(
        select(PolicyState.policy).where(PolicyState.family == family)
    ).all()
    if policies:
        connection.execute(
            Dirty.__table__.insert(),  # type: ignore[attr-defined]
            [
                {
                    "token": uuid.uuid4().hex,
                    "policy": policy,
                    "first_minute": first,
                    "last_minute": last,
                }
                for policy in policies
                for first, last in changed
            ],
        )
