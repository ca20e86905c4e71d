"""What a log's files prove: from when to when they hold every request there was.

A log tells of a time if it was there, and its lines of that time still are. So it holds what was
logged since its oldest file begins, and a quiet log that begins before a window proves that the
window had no requests. What was rotated away, nobody can tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from include.collectors.request_logs.files import LogFile
from userdb.models import Collection
from userdb.times import from_minute, to_minute

#: A file that was created so shortly before its first line has always been that log: it is no
#: old file that a rotation emptied (copytruncate), whose creation would prove nothing.
_FRESH_S = 900


@dataclass(frozen=True)
class Extent:
    """A file, and the time of its first line in seconds since 1970; None where it has no line."""

    file: LogFile
    first: float | None


@dataclass(frozen=True)
class Held:
    """The minutes [first, stop) that a source's files hold in full; ``stop`` None: up to now."""

    first: int
    stop: int | None

    def mask(self, first: int, stop: int) -> NDArray[np.bool_]:
        """Whether each minute of [first, stop) is held; shape (stop - first,)."""
        minutes = np.arange(first, stop)
        held = minutes >= self.first
        return held if self.stop is None else held & (minutes < self.stop)


def held_by(extents: Sequence[Extent]) -> Held:
    """What the files of a source hold: all of its logs must. ``extents`` is not empty."""
    streams: dict[str, list[Extent]] = defaultdict(list)
    for extent in extents:
        streams[extent.file.stream_name].append(extent)
    begin = max(_begin(stream) for stream in streams.values())
    return Held(first=int(-(-begin // 60)), stop=_stop(extents))


def _begin(stream: Sequence[Extent]) -> float:
    dated = [(extent.first, extent) for extent in stream if extent.first is not None]
    if not dated:
        # empty, and not written to since then
        return min(extent.file.modified for extent in stream)
    first, oldest = min(dated, key=lambda pair: pair[0])
    born = oldest.file.born
    return born if born is not None and 0 <= first - born <= _FRESH_S else first


def _stop(extents: Sequence[Extent]) -> int | None:
    """Where all files are compressed, none can be the one that is being written."""
    if not all(extent.file.compressed for extent in extents):
        return None
    last = max(extents, key=lambda extent: extent.file.modified)
    if last.first is None or last.first > last.file.modified:
        return None  # not the clock of the lines
    return int(-(-last.file.modified // 60))


def collected_before(
    connection: Connection, collector: str, source: str, first: int, stop: int
) -> NDArray[np.bool_]:
    """Whether each minute of [first, stop) has been collected from ``source`` successfully."""
    table = Collection
    rows = connection.execute(
        select(table.window_start, table.window_end).where(
            table.collector == collector,
            table.source == source,
            table.status == "ok",
            table.window_end > from_minute(first),
            table.window_start < from_minute(stop),
        )
    )
    done = np.zeros(stop - first, dtype=np.bool_)
    for row in rows:
        done[max(to_minute(row.window_start) - first, 0) : to_minute(row.window_end) - first] = True
    return done
