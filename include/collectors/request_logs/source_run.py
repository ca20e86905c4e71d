"""One collection of one log source: its files are read, and what userdb holds of them replaced."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
from monitoring.window import Window
from numpy.typing import NDArray

from include.collectors.request_logs.blocks import BlocksFrom, read_blocks, time_range
from include.collectors.request_logs.compression import BROKEN
from include.collectors.request_logs.coverage import Extent, Held, collected_before, held_by
from include.collectors.request_logs.file_end import FileEnd
from include.collectors.request_logs.files import FoundFiles, LogFile, broken, distinct
from include.collectors.request_logs.identity import KnownFile, identify, note_read
from include.collectors.request_logs.parse import ParsedFile, Parser
from include.collectors.request_logs.replace import replace_minutes
from include.collectors.request_logs.route_cap import OTHER, Folded, fold_routes, held_routes
from include.collectors.request_logs.settings import LogSource
from userdb.ledger import MAX_SAMPLES, Rejected, SourceReport
from userdb.store import Store
from userdb.times import from_minute

_COLLECTOR = "request_logs"
#: A file last written so long before a range can't hold lines of it, whatever its clock.
_LONG_BEFORE_S = 3600


@dataclass(frozen=True)
class Range:
    """What is read for a window, in microseconds since 1970: [low, high), and around it."""

    window: Window
    low: int
    high: int
    allowance: int

    @property
    def window_us(self) -> tuple[int, int]:
        return self.window.first_minute * 60_000_000, self.high


@dataclass(frozen=True)
class Collected:
    """What came of a source: its report, and which minutes of the window it can tell of."""

    report: SourceReport
    known: NDArray[np.bool_]

    def status(self, minute: int) -> str:
        if self.report.status == "failed":
            return "failed"
        return "ok" if self.known[minute] else "unavailable"


class SourceRun:
    """One collection of one source, its files open and its lock held."""

    def __init__(
        self, source: LogSource, span: Range, store: Store, now: datetime, parser: Parser
    ) -> None:
        self._source = source
        self._span = span
        self._store = store
        self._now = now
        self._parser = parser
        self._failures: list[str] = []
        #: files that were parsed, and how far
        self._parsed: list[tuple[LogFile, KnownFile, int]] = []
        self._tables: list[str] = []
        self._folded = Folded(0, 0)
        self._rows = self._rejected = self._late = 0
        self._samples: list[Rejected] = []

    def run(self, found: FoundFiles) -> Collected:
        for unreadable in found.unreadable:
            if not found.files or not self._is_long_past(unreadable.modified):
                self._fail(unreadable.path, unreadable.message)
        extents = []
        for file in distinct(found.files):
            first = self._parser.first_time(file.head) if file.identity else None
            extents.append(Extent(file, None if first is None else first / 1e6))
        wanted = [extent for extent in extents if self._may_hold(extent)]
        files = [extent.file for extent in wanted]
        known = identify(self._store, self._source.name, files, self._now)
        for extent, stored in zip(wanted, known, strict=True):
            self._read_file(extent.file, stored)
        self._replace()
        return self._result(held_by(extents) if extents else None)

    def _is_long_past(self, modified: float | None) -> bool:
        return modified is not None and modified + _LONG_BEFORE_S < self._span.low / 1e6

    def _may_hold(self, extent: Extent) -> bool:
        """Whether a file may hold lines of the range, as far as its name tag and head tell."""
        file = extent.file
        if not file.identity:
            return False
        if extent.first is None:
            return not self._is_long_past(file.modified)
        if extent.first * 1e6 > self._span.high + self._span.allowance:
            return False
        # a plain file is searched at no cost; and a file that claims to be older than its lines
        # was written by another clock
        past = file.compressed and extent.first <= file.modified
        return not (past and self._is_long_past(file.modified))

    def _read_file(self, file: LogFile, known: KnownFile) -> None:
        if not file.compressed and file.size < known.size:
            self._fail(file.path, _shrunk(known.size))
            return
        try:
            parsed = self._parse(file)
        except BROKEN as error:
            self._fail(file.path, broken(file.compression, error))
            return
        except OSError as error:
            self._fail(file.path, f"can't be read: {error.strerror or error}")
            return
        if file.was_truncated():
            self._fail(file.path, "was truncated while it was being read; collect again")
            return
        if parsed.rejected and not parsed.lines and not parsed.other:
            why = f"{parsed.samples[0].why}: {parsed.samples[0].text!r}" if parsed.samples else ""
            self._fail(
                file.path,
                f"has no line of format {self._source.format}, the first {why}; "
                "set the source's format to what the gateway writes",
            )
            return
        self._tables.append(self._parser.put_aside(len(self._parsed)))
        self._parsed.append((file, known, parsed.read_to))
        self._rejected += parsed.rejected
        self._samples += [
            Rejected(f"{file.path}@{sample.where}", sample.why, sample.text)
            for sample in parsed.samples
        ]

    def _replace(self) -> None:
        """Make userdb hold what was read: once all is read, as files share minutes."""
        first, window = self._span.low // 60_000_000, self._span.window
        store, source, since = self._store, self._source, window.first_minute
        self._folded = fold_routes(
            self._parser.connection,
            self._tables,
            held_routes(
                store,
                source.name,
                [known.id for _, known, _ in self._parsed],
                first,
                window.stop_minute,
            ),
            limit=source.route.max_routes,
            since=since,
        )
        for mark, (file, known, read_to) in enumerate(self._parsed):
            self._parser.take_up(mark)
            replaced = replace_minutes(
                store,
                self._parser.connection,
                source=source.name,
                file_id=known.id,
                first=first,
                window_first=since,
                stop=window.stop_minute,
            )
            if read_to > known.size:
                store.write(partial(note_read, known=known, file=file, size=read_to, now=self._now))
            (requests,) = self._parser.row(
                f"SELECT coalesce(sum(requests), 0)::BIGINT FROM part WHERE minute >= {since}"
            )
            self._rows += requests
            self._late += replaced.late

    def _parse(self, file: LogFile) -> ParsedFile:
        if file.compressed:
            return self._parse_compressed(file)
        span, parser = self._span, self._parser
        first, last = span.low - span.allowance, span.high + span.allowance
        stream = file.stream()
        start, stop = time_range(stream, file.size, first, last, parser.latest_time)
        stream.seek(start)
        return parser.parse(
            read_blocks(stream, start, stop),
            span.low,
            span.high,
            window_us=span.window_us,
            stop_us=None,
        )

    def _parse_compressed(self, file: LogFile) -> ParsedFile:
        span, parser = self._span, self._parser
        end = FileEnd(self._store, self._source, file, span.allowance)
        blocks = BlocksFrom(
            span.low - span.allowance,
            () if end.lies_before(span.low) else read_blocks(file.stream(), 0, None),
            parser.latest_time,
        )
        parsed = parser.parse(
            blocks,
            span.low,
            span.high,
            window_us=span.window_us,
            stop_us=span.high + span.allowance,
        )
        # refused lines without any time count in every window
        if blocks.done and (parsed.latest_time is not None or not parsed.rejected):
            end.note(blocks.dropped, parsed.latest_time, self._now)
        return parsed

    def _fail(self, path: Path, message: str) -> None:
        self._failures.append(f"{path} {message}")

    def _result(self, held: Held | None) -> Collected:
        first, stop = self._span.window.first_minute, self._span.window.stop_minute
        status = "ok"
        message = _many_routes(self._source, self._folded) if self._folded.minutes else None
        known = np.zeros(stop - first, dtype=np.bool_) if held is None else held.mask(first, stop)
        if self._failures:
            status = "failed"
            message = (
                f"request_logs source {self._source.name!r}: {'; '.join(self._failures)}. "
                "What is stored of it was not changed; the window is unknown until it can be read"
            )
        elif held is not None and not known.all():
            with self._store.read() as connection:
                known |= collected_before(connection, _COLLECTOR, self._source.name, first, stop)
            if not known.all():
                status = "unavailable"
                message = _not_held(self._source, held)
        return Collected(
            SourceReport(
                self._source.name,
                status,
                self._rows,
                self._rejected,
                self._late,
                tuple(self._samples[:MAX_SAMPLES]),
                message,
            ),
            known,
        )


def _shrunk(size: int) -> str:
    return (
        f"is shorter than when it was last read ({size} bytes): it is being copied, or was cut; "
        "collect again when it is whole"
    )


def _many_routes(source: LogSource, folded: Folded) -> str:
    return (
        f"request_logs source {source.name!r}: {folded.minutes} minutes have more routes than "
        f"{source.route.max_routes}: {folded.requests} requests of the others are counted as "
        f"route {OTHER}. Group them by route.rules or in the route table, or raise "
        "route.max_routes"
    )


def _not_held(source: LogSource, held: Held) -> str:
    until = "" if held.stop is None else f", and end at {from_minute(held.stop):%Y-%m-%dT%H:%MZ}"
    return (
        f"request_logs source {source.name!r}: its files hold what was logged since "
        f"{from_minute(held.first):%Y-%m-%dT%H:%MZ}{until}; the rest of the window was rotated "
        "away, or not logged. Put the rotated files back where paths finds them, if they exist"
    )
