"""From blocks of lines to requests and counts per minute, in DuckDB, a block at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from include.collectors.request_logs.blocks import Block
from include.collectors.request_logs.exemplars import exemplars_sql
from include.collectors.request_logs.formats import format_named
from include.collectors.request_logs.lookup import NOTHING, Lookup
from include.collectors.request_logs.mapping import quoted, require_valid
from include.collectors.request_logs.settings import LogSource, RequestLogsSettings
from include.collectors.request_logs.statements import (
    OTHER,
    TAKEN,
    is_timed,
    parse_sql,
    part_sql,
    refused,
    times_sql,
    within,
)
from userdb.ledger import MAX_SAMPLES, Rejected

#: Of what is parsed; more spills to disk, packed, so a file of any size may be parsed whole.
_MEMORY = "256MB"
#: Columns of a normalised request, as ``Parser.requests`` gives them, over the table ``parsed``.
COLUMNS = {
    "time": "make_timestamptz(at_us)",
    **{
        name: name
        for name in (
            "client",
            "method",
            "host",
            "path",
            "route",
            "service",
            "instance",
            "status",
            "outcome",
        )
    },
    "reason": "outcome_reason",
    "duration_ms": "duration_ms",
    "bytes": "bytes_sent",
    "user": '"user"',
    "user_agent": "user_agent",
    "request_id": "request_id",
}


@dataclass
class ParsedFile:
    """What parsing a file's range said beside the rows: see ``Parser.parse``."""

    #: requests, in and out of the range
    lines: int = 0
    #: lines of the format that tell of no request
    other: int = 0
    rejected: int = 0
    #: decompressed bytes up to which lines were read
    read_to: int = 0
    #: of all lines that have one, in and out of the range, microseconds since 1970
    latest_time: int | None = None
    samples: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True)
class Requests:
    """A block's requests: see ``Parser.requests``. ``rows`` has the columns ``COLUMNS``."""

    rows: pa.Table
    lines: int
    other: int
    rejected: int
    samples: list[Rejected]


class Parser:
    """Parses the files of one log source. A context manager: it owns an embedded database.

    After ``parse``, the database holds the file's requests of the range: those to keep in table
    ``request`` (columns of request_log but for file and source, with ``at_us`` for the time) and
    all of them, counted, in table ``part`` (columns ``_KEYS``, ``SUMS`` and latency_max_ms).

    Raises:
        ConfigError: unknown format, wrong options of it, or a route's regex is not valid.
    """

    def __init__(
        self, source: LogSource, settings: RequestLogsSettings, lookup: Lookup = NOTHING
    ) -> None:
        self._source = source
        self._format = format_named(source.format, source.name, source.options)
        self._scratch = tempfile.TemporaryDirectory(prefix="request-logs-")
        self.connection = duckdb.connect(
            config={"memory_limit": _MEMORY, "temp_directory": self._scratch.name}
        )
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET preserve_insertion_order = false")
        self.connection.execute("SET VARIABLE zone = " + quoted(source.timezone))
        require_valid(source, self.connection)
        lookup.prepare(self.connection)
        self._parse_sql = parse_sql(self._format, source, lookup)
        self._has_tables = False
        slow_ms = settings.slow.total_seconds() * 1000
        self._keep = {
            "all": "true",
            "exceptional": f"(outcome <> 'ok' OR coalesce(duration_ms >= {slow_ms}, false))",
            "none": "false",
        }[settings.keep]
        # where all are kept, exemplars are among them
        self._exemplars = 0 if settings.keep == "all" else settings.exemplars

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()
        self._scratch.cleanup()

    def row(self, sql: str) -> tuple[Any, ...]:
        """The one row of an aggregate over what was parsed."""
        # not fetchone: it leaves the result open, and the next statement is refused
        (found,) = self.connection.execute(sql).fetchall()
        row: tuple[Any, ...] = found
        return row

    def first_time(self, data: bytes) -> int | None:
        """The time of the first line in ``data`` that has one, microseconds since 1970."""
        return self._times(data, "arg_min(at_us, byte_offset)")

    def latest_time(self, data: bytes) -> int | None:
        """The latest time of the lines in ``data``, microseconds since 1970."""
        return self._times(data, "max(at_us)")

    def time_range(self, block: Block) -> tuple[int, int] | None:
        """The earliest and the latest time of the lines of ``block``, microseconds since 1970."""
        with self._registered(block):
            first, last = self.row(times_sql(self._format, "min(at_us), max(at_us)"))
        return None if first is None else (first, last)

    def _times(self, data: bytes, aggregate: str) -> int | None:
        end = data.rfind(b"\n") + 1
        if not end:
            return None
        with self._registered(Block(0, data[:end])):
            (found,) = self.row(times_sql(self._format, aggregate))
        return None if found is None else int(found)

    def requests(self, block: Block) -> Requests:
        """All requests of a block, whatever their time."""
        self._load(block, self._parse_sql)
        lines, other, *_ = self._span()
        rejected, samples = self._refused(block, None, (0, 0))
        rows = self.connection.sql(
            f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in COLUMNS.items())} "
            f"FROM parsed WHERE {TAKEN} ORDER BY byte_offset"
        ).to_arrow_table()
        return Requests(rows, lines, other, rejected, samples)

    def parse(
        self,
        blocks: Iterable[Block],
        low_us: int,
        high_us: int,
        *,
        window_us: tuple[int, int],
        stop_us: int | None,
    ) -> ParsedFile:
        """Fill ``request`` and ``part`` with the requests in [low_us, high_us).

        Stops after a block that lies past ``stop_us``; with None, after the last. A refused line
        has no time of its own and counts at that of the line before it (at the top, of the next),
        so that each is counted in one window alone: those in ``window_us`` are reported.
        """
        parsed = ParsedFile()
        before: int | None = None
        pending: list[tuple[int, list[Rejected]]] = []
        for number, block in enumerate(_at_least_one(blocks)):
            self._load(block, self._parse_sql)
            if not number:
                self._empty_tables()
            parsed.read_to = block.offset + len(block.data)
            count, other, first, earliest, latest, last = self._span()
            parsed.lines += count
            parsed.other += other
            if latest is not None:
                parsed.latest_time = max(latest, parsed.latest_time or latest)
            if first is not None:
                for refused, samples in pending:
                    if window_us[0] <= first < window_us[1]:
                        parsed.rejected += refused
                        parsed.samples += samples
                pending = []
            self._take(low_us, high_us)
            at = before if before is not None else first
            refused, samples = self._refused(block, at, window_us)
            if at is None:
                pending.append((refused, samples))
            else:
                parsed.rejected += refused
                parsed.samples += samples
            before = last if last is not None else before
            if stop_us is not None and earliest is not None and earliest > stop_us:
                break
        self._keep_exemplars()
        if before is None:
            # nothing in the file has a time: all of it is refused, in any window
            parsed.rejected = sum(refused for refused, _ in pending)
            parsed.samples = [sample for _, samples in pending for sample in samples]
        del parsed.samples[MAX_SAMPLES:]
        return parsed

    def put_aside(self, mark: int) -> str:
        """Keep what was parsed of a file until ``take_up``; the name of its table of counts."""
        for name in ("request", "part"):
            self.connection.execute(f"ALTER TABLE {name} RENAME TO {name}_{mark}")
        self._has_tables = False
        return f"part_{mark}"

    def take_up(self, mark: int) -> None:
        """Make ``request`` and ``part`` again what was parsed of a file."""
        for name in ("request", "part"):
            self.connection.execute(f"DROP TABLE IF EXISTS {name}")
            self.connection.execute(f"ALTER TABLE {name}_{mark} RENAME TO {name}")
        self._has_tables = True

    def _load(self, block: Block, sql: str) -> None:
        with self._registered(block):
            self.connection.execute(sql)

    @contextmanager
    def _registered(self, block: Block) -> Iterator[None]:
        self.connection.register("block", block.table())
        try:
            yield
        finally:
            self.connection.unregister("block")

    def _span(self) -> tuple[int, int, int | None, int | None, int | None, int | None]:
        """Of the block: requests; other lines of the format; time of the first of both; earliest
        and latest time; of the last."""
        timed = is_timed(self._format)
        lines, other, first, earliest, latest, last = self.row(
            f"SELECT count(*) FILTER ({TAKEN}), count(*) FILTER ({OTHER}), "
            f"arg_min(at_us, byte_offset) FILTER ({timed}), min(at_us) FILTER ({timed}), "
            f"max(at_us) FILTER ({timed}), arg_max(at_us, byte_offset) FILTER ({timed}) FROM parsed"
        )
        return lines, other, first, earliest, latest, last

    def _empty_tables(self) -> None:
        """Tables without rows, with the columns of ``parsed``."""
        if self._has_tables:
            self.connection.execute("TRUNCATE request")
            self.connection.execute("TRUNCATE exemplar")
            self.connection.execute("TRUNCATE part")
            return
        self.connection.execute(
            "CREATE TABLE request AS SELECT * EXCLUDE (line, why) FROM parsed LIMIT 0"
        )
        self.connection.execute("CREATE OR REPLACE TABLE exemplar AS FROM request")
        self.connection.execute(f"CREATE TABLE part AS {part_sql(0, 0)} LIMIT 0")
        self._has_tables = True

    def _take(self, low_us: int, high_us: int) -> None:
        self.connection.execute(f"INSERT INTO part {part_sql(low_us, high_us)}")
        self.connection.execute(
            "INSERT INTO request SELECT * EXCLUDE (line, why) FROM parsed "
            f"WHERE {within(low_us, high_us)} AND {self._keep}"
        )
        if self._exemplars:
            found = exemplars_sql("parsed", self._exemplars, within(low_us, high_us))
            self.connection.execute(
                f"INSERT INTO exemplar SELECT * EXCLUDE (line, why) FROM ({found})"
            )

    def _keep_exemplars(self) -> None:
        """Those of the file are among those of its blocks; some may be kept already."""
        if self._exemplars:
            found = exemplars_sql("exemplar", self._exemplars)
            self.connection.execute(f"INSERT INTO request FROM ({found}) WHERE NOT {self._keep}")

    def _refused(
        self, block: Block, before: int | None, window_us: tuple[int, int]
    ) -> tuple[int, list[Rejected]]:
        """Count and samples of the refused lines in the window; of all, without ``before``."""
        number, samples = 0, []
        told = f"BETWEEN {window_us[0]} AND {window_us[1] - 1}"
        if block.too_long is not None and (before is None or window_us[0] <= before < window_us[1]):
            number += 1
            samples.append(Rejected(str(block.too_long), "is longer than 8 MiB"))
        default = "NULL" if before is None else str(before)
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE refused AS
            SELECT bad.byte_offset, bad.why,
                   left(replace(rtrim(bad.line, chr(10) || chr(13)), chr(0), '\ufffd'), 200) AS text
            FROM (SELECT * FROM parsed WHERE {refused(self._format)}) bad
            ASOF LEFT JOIN (
                SELECT byte_offset, at_us FROM parsed WHERE {is_timed(self._format)}
            ) good
                ON bad.byte_offset >= good.byte_offset
            WHERE {before is None} OR coalesce(good.at_us, {default}) {told}
            """
        )
        number += self.row("SELECT count(*) FROM refused")[0]
        rows = self.connection.execute(
            f"SELECT * FROM refused ORDER BY byte_offset LIMIT {MAX_SAMPLES}"
        ).fetchall()
        samples += [Rejected(str(offset), why, text) for offset, why, text in rows]
        return number, samples


def _at_least_one(blocks: Iterable[Block]) -> Iterator[Block]:
    """``blocks``, or an empty one: its columns are there too."""
    remaining = iter(blocks)
    yield next(remaining, Block(0, b""))
    yield from remaining
