"""What of a long window is replaced at once: spans of minutes, and slices of these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import pandas as pd

#: Rows of counts, and minutes, that are compared at once: it bounds memory, however long a window.
_COUNTED = 50_000
_MINUTES = 1_440


@dataclass(frozen=True)
class Slice:
    """What one transaction replaces: raw rows in [low_us, high_us), and whole minutes."""

    low_us: int
    high_us: int
    minutes: tuple[int, ...]


def spans_of(parsed: duckdb.DuckDBPyConnection, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """[first, stop), cut into ranges of minutes that are replaced one after the other."""
    counts = parsed.execute("SELECT minute, count(*) FROM part GROUP BY 1 ORDER BY 1").fetchall()
    low, held = first, 0
    for minute, rows in counts:
        while minute - low >= _MINUTES:
            yield low, low + _MINUTES
            low, held = low + _MINUTES, 0
        if minute > low and held + rows > _COUNTED:
            yield low, minute
            low, held = minute, 0
        held += rows
    while stop - low > _MINUTES:
        yield low, low + _MINUTES
        low += _MINUTES
    yield low, stop


def minutes_in(span: tuple[int, int]) -> str:
    return f"minute >= {span[0]} AND minute < {span[1]}"


def slices_of(
    parsed: duckdb.DuckDBPyConnection,
    fresh: pd.DataFrame,
    changed: set[int],
    span: tuple[int, int],
    limit: int,
) -> Iterator[Slice]:
    """``changed`` minutes in order, so many at once that ``limit`` is kept.

    A minute with more raw rows is split: what comes before its last part has raw rows alone.
    """
    raw = dict(
        parsed.execute(
            f"SELECT minute, count(*) FROM request WHERE {minutes_in(span)} GROUP BY 1"
        ).fetchall()
    )
    counts = fresh.groupby("minute").size().to_dict()
    pending: list[int] = []
    held = 0
    for minute in sorted(changed):
        size = raw.get(minute, 0) + counts.get(minute, 0)
        # a slice deletes raw rows by one range of time: its minutes follow each other
        if pending and (held + size > limit or minute != pending[-1] + 1):
            yield _whole(pending)
            pending, held = [], 0
        if size <= limit:
            pending.append(minute)
            held += size
            continue
        low = minute * 60_000_000
        for high in _cuts(parsed, minute, limit - min(counts.get(minute, 0), limit // 2)):
            yield Slice(low, high, ())
            low = high
        yield Slice(low, (minute + 1) * 60_000_000, (minute,))
    if pending:
        yield _whole(pending)


def _whole(minutes: list[int]) -> Slice:
    return Slice(minutes[0] * 60_000_000, (minutes[-1] + 1) * 60_000_000, tuple(minutes))


def _cuts(parsed: duckdb.DuckDBPyConnection, minute: int, limit: int) -> list[int]:
    """Times that split a minute's raw rows into parts of at most ``limit``.

    Rows of the same microsecond (of a format with whole seconds: of a second) stay together.
    """
    rows = parsed.execute(
        f"SELECT at_us, count(*) FROM request WHERE minute = {minute} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    cuts, held = [], 0
    for at, count in rows:
        if held and held + count > limit:
            cuts.append(at)
            held = 0
        held += count
    return cuts
