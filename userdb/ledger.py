"""The ledger of collections: what is covered, and what the analysis must look at again.

Coverage. A minute is covered for a collector when, for some attempt at it, every source that the
attempt named has been collected successfully for that minute, by that attempt or another. So a
failed attempt never takes coverage away, and the order of attempts doesn't matter.

Processes may share an attempt, each for some of the sources. Then each writes the rows of its own
sources, and where nobody has yet, a row ``awaited`` for every other one: so no part of an attempt
covers a minute alone, whichever comes first and whatever becomes of the others.

What nodes pushed, and what was pulled from them, has collectors of its own in the ledger. A minute
is covered for a family when one of the family's collectors covers it, and so does every other that
made an attempt at it: who measures here and pulls from nodes knows a minute only by both.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection as Names
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, insert, select

from userdb.models import Collection, Dirty, MinuteChange, PolicyState
from userdb.registration_lock import share_registration_lock
from userdb.times import from_minute, to_minute

#: Rejected inputs kept as samples per source and collection.
MAX_SAMPLES = 10
#: The collectors that a family's coverage is made of: its own, and what nodes pushed or were asked.
FAMILY_COLLECTORS: Mapping[str, tuple[str, ...]] = {
    "event": ("gateway_exceptions", "pull.event"),
    "request": ("request_logs", "push.request", "pull.request"),
    "container": ("container_stats", "push.container", "pull.container"),
}
#: The status of a source that another process of the attempt is to collect.
AWAITED = "awaited"
#: Families whose changed minutes are kept in order, for who pulls them. Events are read by their
#: ids: they never change.
_FED = frozenset({"request", "container"})


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


def new_attempt() -> str:
    """The id of an attempt that nobody shares."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Part:
    """What one process collects of an attempt that several share.

    ``own`` are the sources that it collects, ``others`` the rest of those that are configured.
    """

    attempt: str
    own: frozenset[str]
    others: frozenset[str]

    @classmethod
    def of(cls, key: str, configured: Names[str], own: Names[str]) -> Part:
        """The part with ``own`` of the ``configured`` sources.

        Processes share an attempt where they agree on ``key`` and on what is configured: with
        other settings it is another attempt, which names other sources.
        """
        mark = "\0".join([key, *sorted(configured)])
        every, mine = frozenset(configured), frozenset(own)
        digest = hashlib.sha256(mark.encode()).hexdigest()
        return cls(digest[:32], mine & every, every - mine)


@dataclass(frozen=True)
class CollectionReport:
    """What came of one attempt of one collector at the window [start, end)."""

    collector: str
    start: datetime
    end: datetime
    sources: tuple[SourceReport, ...]
    started_at: datetime
    duration_s: float
    attempt: str = field(default_factory=new_attempt)

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


class _Entry(NamedTuple):  # made many times a run, and faster than a dataclass
    """A row of the ledger, in minutes counted from the first one that is asked for."""

    collector: str
    attempt: str
    source: str
    ok: bool
    within: slice


def record(
    connection: Connection,
    report: CollectionReport,
    family: str,
    run_id: str | None,
    *,
    awaited: Names[str] = (),
) -> None:
    """Write a report to the ledger, and mark its window dirty where coverage may have changed.

    A report without sources leaves no trace: nothing was asked, so nothing is known.

    Args:
        awaited: the sources that others collect for the same attempt.
    """
    if not report.sources:
        return
    first, stop = to_minute(report.start), to_minute(report.end)
    collectors = FAMILY_COLLECTORS.get(family, ())
    if report.collector not in collectors:
        collectors = (report.collector,)
    earlier = _entries(connection, collectors, first, stop)
    window = slice(0, stop - first)
    named = _named((one for one in earlier if one.attempt == report.attempt), window)
    sources = (
        *report.sources,
        *(
            SourceReport(source, AWAITED)
            for source in sorted(awaited)
            if source not in named or not named[source].all()
        ),
    )
    added = [
        _Entry(report.collector, report.attempt, source.source, source.status == "ok", window)
        for source in sources
    ]
    connection.execute(
        insert(Collection),
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
                "samples": [
                    {name: _storable(text) for name, text in vars(sample).items()}
                    for sample in source.samples[:MAX_SAMPLES]
                ]
                or None,
                "message": None if source.message is None else _storable(source.message),
                "run_id": run_id,
                "started_at": report.started_at,
                "duration_s": report.duration_s,
            }
            for source in sources
        ],
    )
    size = stop - first
    changed = _family_coverage(earlier, size) != _family_coverage(earlier + added, size)
    # Attempts that run at once don't see each other, and may cover a minute only together: so
    # the first success of a source counts as a change where the minute isn't covered yet.
    own = [entry for entry in earlier if entry.collector == report.collector]
    before, known = _coverage(own, size), _collected(own, size)
    for source in report.sources:
        if source.status == "ok":
            changed |= ~before & ~known.get(source.source, np.zeros_like(before))
    mark_dirty(connection, family, (first + np.flatnonzero(changed)).tolist())


def covered_minutes(
    connection: Connection, collector: str, first: int, stop: int
) -> NDArray[np.bool_]:
    """Whether each minute of [first, stop) is covered for ``collector``; shape (stop - first,)."""
    if stop <= first:
        return np.zeros(0, dtype=np.bool_)
    return _coverage(_entries(connection, (collector,), first, stop), stop - first)


def family_covered(connection: Connection, family: str, first: int, stop: int) -> NDArray[np.bool_]:
    """Whether each minute of [first, stop) is covered for ``family``; shape (stop - first,)."""
    if stop <= first:
        return np.zeros(0, dtype=np.bool_)
    entries = _entries(connection, FAMILY_COLLECTORS[family], first, stop)
    return _family_coverage(entries, stop - first)


def collected_minutes(
    connection: Connection, collector: str, first: int, stop: int
) -> dict[str, NDArray[np.bool_]]:
    """For each source of ``collector`` whether it was ever collected, by minute of [first, stop).

    Shape (stop - first,) each.
    """
    return _collected(_entries(connection, (collector,), first, stop), stop - first)


def _entries(
    connection: Connection, collectors: Sequence[str], first: int, stop: int
) -> list[_Entry]:
    table = Collection
    rows = connection.execute(
        select(
            table.collector,
            table.attempt,
            table.source,
            table.status,
            table.window_start,
            table.window_end,
        )
        .where(
            table.collector.in_(collectors),
            table.window_end > from_minute(first),
            table.window_start < from_minute(stop),
        )
        .order_by(table.id)
    )
    return [
        _Entry(
            collector,
            attempt,
            source,
            status == "ok",
            slice(max(to_minute(start) - first, 0), min(to_minute(end), stop) - first),
        )
        for collector, attempt, source, status, start, end in rows
    ]


def _collected(entries: Iterable[_Entry], size: int) -> dict[str, NDArray[np.bool_]]:
    """For each source the minutes at which any attempt collected it."""
    collected: dict[str, NDArray[np.bool_]] = {}
    for entry in entries:
        if entry.ok:
            collected.setdefault(entry.source, np.zeros(size, dtype=np.bool_))[entry.within] = True
    return collected


def _coverage(entries: Iterable[_Entry], size: int) -> NDArray[np.bool_]:
    entries = list(entries)
    covered = np.zeros(size, dtype=np.bool_)
    failed = {entry.attempt for entry in entries if not entry.ok}
    attempts: dict[str, list[_Entry]] = {}
    for entry in entries:
        if entry.attempt in failed:
            attempts.setdefault(entry.attempt, []).append(entry)
        else:
            covered[entry.within] = True
    collected = _collected(entries, size) if attempts else {}
    for rows in attempts.values():
        # parts of an attempt may be for windows of their own
        within = slice(min(row.within.start for row in rows), max(row.within.stop for row in rows))
        nowhere = np.zeros(within.stop - within.start, dtype=np.bool_)
        attempted, missed = nowhere.copy(), nowhere.copy()
        for source, named in _named(rows, within).items():
            attempted |= named
            missed |= named & ~(collected[source][within] if source in collected else nowhere)
        covered[within] |= attempted & ~missed
    return covered


def _named(entries: Iterable[_Entry], within: slice) -> dict[str, NDArray[np.bool_]]:
    """For each source the minutes of ``within`` for which an entry names it."""
    named: dict[str, NDArray[np.bool_]] = {}
    for entry in entries:
        mask = named.setdefault(entry.source, np.zeros(within.stop - within.start, dtype=np.bool_))
        mask[entry.within.start - within.start : entry.within.stop - within.start] = True
    return named


def _family_coverage(entries: Iterable[_Entry], size: int) -> NDArray[np.bool_]:
    by_collector: dict[str, list[_Entry]] = {}
    for entry in entries:
        by_collector.setdefault(entry.collector, []).append(entry)
    covered = np.zeros(size, dtype=np.bool_)
    missed = np.zeros(size, dtype=np.bool_)
    for rows in by_collector.values():
        own = _coverage(rows, size)
        attempted = np.zeros(size, dtype=np.bool_)
        for entry in rows:
            attempted[entry.within] = True
        covered |= own
        missed |= attempted & ~own
    return covered & ~missed


def _storable(text: str) -> str:
    """``text`` with what is no Unicode (undecodable bytes of a log line) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def spans(minutes: Iterable[int]) -> list[tuple[int, int]]:
    """Minutes as maximal inclusive spans, ascending."""
    result: list[tuple[int, int]] = []
    for minute in sorted({int(minute) for minute in minutes}):
        if result and result[-1][1] + 1 == minute:
            result[-1] = (result[-1][0], minute)
        else:
            result.append((minute, minute))
    return result


def mark_dirty(connection: Connection, family: str, minutes: Sequence[int]) -> None:
    """Tell every policy over ``family``, and who pulls it, that facts of these minutes changed.

    Call it in the transaction that changes them, towards its end: until then it keeps policies from
    being registered, or moved to another family.
    """
    changed = spans(minutes)
    if not changed:
        return
    if family in _FED:
        connection.execute(
            insert(MinuteChange),
            [
                {
                    "family": family,
                    "first_minute": first,
                    "last_minute": last,
                    "token": uuid.uuid4().hex[:16],
                }
                for first, last in changed
            ],
        )
    share_registration_lock(connection)
    policies = connection.scalars(
        select(PolicyState.policy).where(PolicyState.family == family)
    ).all()
    if policies:
        connection.execute(
            insert(Dirty),
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
