"""From blocks of lines to requests and counts per minute, in DuckDB, a block at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import duckdb

from include.collectors.request_logs.blocks import Block
from include.collectors.request_logs.formats import FIELDS, format_named
from include.collectors.request_logs.mapping import (
    quoted,
    require_valid,
    route_sql,
    service_sql,
)
from include.collectors.request_logs.outcome import OUTCOME, OUTCOME_REASON
from include.collectors.request_logs.settings import LogSource, RequestLogsSettings
from userdb.latency import LATENCY_BOUNDS_MS, LATENCY_COLUMNS
from userdb.ledger import MAX_SAMPLES, Rejected
from userdb.models.requests import OUTCOMES

#: More spills to disk.
_MEMORY = "1GB"
#: Times that a log can't have: they are garbage that looks like a time (1990 and 2100).
_EARLIEST_US, _LATEST_US = 631_152_000_000_000, 4_102_444_800_000_000
#: As long as their columns in request_log.
_LENGTHS = {
    "client": 64,
    "method": 32,
    "host": 255,
    "path": 2048,
    "user": 255,
    "user_agent": 512,
    "request_id": 128,
    "service": 255,
    "route": 255,
    "instance": 255,
}
_KEYS = ("minute", "service", "route", "instance")
#: What request_minute counts, by how it is counted.
SUMS = ("requests", *OUTCOMES, "bytes_sent", "latency_count", "latency_us", *LATENCY_COLUMNS)


@dataclass
class ParsedFile:
    """What parsing a file's range said beside the rows: see ``Parser.parse``."""

    #: lines of the format, in and out of the range
    lines: int = 0
    rejected: int = 0
    #: decompressed bytes up to which lines were read
    read_to: int = 0
    samples: list[Rejected] = field(default_factory=list)


class Parser:
    """Parses the files of one log source. A context manager: it owns an embedded database.

    After ``parse``, the database holds the file's requests of the range: those to keep in table
    ``request`` (columns of request_log but for file and source, with ``at_us`` for the time) and
    all of them, counted, in table ``part`` (columns ``_KEYS``, ``SUMS`` and latency_max_ms).

    Raises:
        ConfigError: unknown format, or a route's regex is not valid.
    """

    def __init__(self, source: LogSource, settings: RequestLogsSettings) -> None:
        self._source = source
        self._format = format_named(source.format, source.name)
        self._scratch = tempfile.TemporaryDirectory(prefix="request-logs-")
        self.connection = duckdb.connect(
            config={"memory_limit": _MEMORY, "temp_directory": self._scratch.name}
        )
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET preserve_insertion_order = false")
        self.connection.execute("SET VARIABLE zone = " + quoted(source.timezone))
        require_valid(source, self.connection)
        self._parse_sql = self._build()
        self._times_sql = self._build_times()
        self._has_tables = False
        slow_ms = settings.slow.total_seconds() * 1000
        self._keep = {
            "all": "true",
            "exceptional": f"(outcome <> 'ok' OR coalesce(duration_ms >= {slow_ms}, false))",
            "none": "false",
        }[settings.keep]

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

    def _times(self, data: bytes, aggregate: str) -> int | None:
        end = data.rfind(b"\n") + 1
        if not end:
            return None
        self._load(Block(0, data[:end]), self._times_sql)
        (found,) = self.row(f"SELECT {aggregate} FROM parsed WHERE why IS NULL")
        return None if found is None else int(found)

    def parse(
        self,
        blocks: Iterable[Block],
        low_us: int,
        high_us: int,
        *,
        window_us: tuple[int, int],
        stop_us: int,
    ) -> ParsedFile:
        """Fill ``request`` and ``part`` with the requests in [low_us, high_us).

        Stops after a block that lies past ``stop_us``. A refused line has no time of its own and
        counts at that of the line before it (at the top, of the next), so that each is counted in
        one window alone: those in ``window_us`` are reported.
        """
        self._empty_tables()
        parsed = ParsedFile()
        before: int | None = None
        pending: list[tuple[int, list[Rejected]]] = []
        for block in blocks:
            self._load(block, self._parse_sql)
            parsed.read_to = block.offset + len(block.data)
            count, first, earliest, last = self._span()
            parsed.lines += count
            if first is not None:
                for number, samples in pending:
                    if window_us[0] <= first < window_us[1]:
                        parsed.rejected += number
                        parsed.samples += samples
                pending = []
            self._take(low_us, high_us)
            at = before if before is not None else first
            number, samples = self._refused(block, at, window_us)
            if at is None:
                pending.append((number, samples))
            else:
                parsed.rejected += number
                parsed.samples += samples
            before = last if last is not None else before
            if earliest is not None and earliest > stop_us:
                break
        if before is None:
            # nothing in the file has a time: all of it is refused, in any window
            parsed.rejected = sum(number for number, _ in pending)
            parsed.samples = [sample for _, samples in pending for sample in samples]
        del parsed.samples[MAX_SAMPLES:]
        return parsed

    def _build(self) -> str:
        fields = self._format.fields
        columns = [
            f'CAST({fields[name]} AS {kind}) AS "{name}"'
            if name in fields
            else f'CAST(NULL AS {kind}) AS "{name}"'
            for name, kind in FIELDS.items()
        ]
        texts = [
            f"left(replace(nullif(nullif(\"{name}\", ''), '-'), chr(0), '\ufffd'), {length})"
            f' AS "{name}"'
            for name, length in _LENGTHS.items()
        ]
        return f"""
            CREATE OR REPLACE TEMP TABLE parsed AS
            WITH records AS (
                SELECT byte_offset, line, {self._format.record} AS record FROM block
            ), fields AS (
                SELECT byte_offset, line, record IS NULL AS refused, {", ".join(columns)}
                FROM records
            ), texts AS (
                SELECT byte_offset, line, refused, epoch_us(occurred_at) AS at_us, status,
                       CASE WHEN duration_ms >= 0 AND duration_ms < 1e12 THEN duration_ms END
                           AS duration_ms,
                       CASE WHEN bytes_sent >= 0 THEN bytes_sent END AS bytes_sent,
                       {", ".join(texts)}
                FROM fields
            )
            SELECT * REPLACE (
                       left({service_sql(self._source.service)}, 255) AS service,
                       left({route_sql(self._source.route)}, 255) AS route
                   ),
                   at_us // 60000000 AS minute,
                   {OUTCOME} AS outcome,
                   {OUTCOME_REASON} AS outcome_reason,
                   {self._why()} AS why
            FROM texts
        """

    def _build_times(self) -> str:
        """As ``_build``, for what looking for a time needs: planning costs more than running."""
        fields = self._format.fields
        return f"""
            CREATE OR REPLACE TEMP TABLE parsed AS
            WITH records AS (
                SELECT byte_offset, line, {self._format.record} AS record FROM block
            ), fields AS (
                SELECT byte_offset, line, record IS NULL AS refused,
                       epoch_us({fields["occurred_at"]}) AS at_us,
                       CAST({fields["status"]} AS INTEGER) AS status
                FROM records
            )
            SELECT byte_offset, at_us, {self._why()} AS why FROM fields
        """

    def _why(self) -> str:
        """An expression for why a line is refused; null for one that is taken."""
        return f"""CASE
            WHEN trim(line, chr(10) || chr(13) || ' ') = '' THEN 'is empty'
            WHEN refused THEN {quoted(self._format.refusal)}
            WHEN at_us IS NULL THEN 'has no time'
            WHEN at_us NOT BETWEEN {_EARLIEST_US} AND {_LATEST_US} THEN 'has a time out of range'
            WHEN status IS NULL THEN 'has no status'
            WHEN status NOT BETWEEN 0 AND 999 THEN 'has a status out of range'
            END"""

    def _load(self, block: Block, sql: str) -> None:
        self.connection.register("block", block.table())
        try:
            self.connection.execute(sql)
        finally:
            self.connection.unregister("block")

    def _span(self) -> tuple[int, int | None, int | None, int | None]:
        """Of the block: lines of the format; time of the first; earliest time; of the last."""
        lines, first, earliest, last = self.row(
            "SELECT count(*), arg_min(at_us, byte_offset), min(at_us), arg_max(at_us, byte_offset)"
            " FROM parsed WHERE why IS NULL"
        )
        return lines, first, earliest, last

    def _empty_tables(self) -> None:
        if self._has_tables:
            self.connection.execute("TRUNCATE request")
            self.connection.execute("TRUNCATE part")
            return
        self._load(Block(0, b""), self._parse_sql)
        self.connection.execute(
            "CREATE TABLE request AS SELECT * EXCLUDE (line, refused, why) FROM parsed LIMIT 0"
        )
        self.connection.execute(f"CREATE TABLE part AS {self._part(0, 0)} LIMIT 0")
        self._has_tables = True

    def _take(self, low_us: int, high_us: int) -> None:
        self.connection.execute(f"INSERT INTO part {self._part(low_us, high_us)}")
        self.connection.execute(
            "INSERT INTO request SELECT * EXCLUDE (line, refused, why) FROM parsed "
            f"WHERE why IS NULL AND at_us >= {low_us} AND at_us < {high_us} AND {self._keep}"
        )

    @staticmethod
    def _part(low_us: int, high_us: int) -> str:
        outcomes = [f"count(*) FILTER (outcome = '{name}') AS {name}" for name in OUTCOMES]
        bounds: list[float] = [float("-inf"), *LATENCY_BOUNDS_MS, float("inf")]
        buckets = [
            f"count(*) FILTER (duration_ms > '{below}'::DOUBLE"
            f" AND duration_ms <= '{bound}'::DOUBLE) AS {name}"
            for name, (below, bound) in zip(LATENCY_COLUMNS, pairwise(bounds), strict=True)
        ]
        return f"""
            SELECT {", ".join(_KEYS)}, count(*) AS requests, {", ".join(outcomes)},
                   coalesce(sum(bytes_sent), 0)::BIGINT AS bytes_sent,
                   count(duration_ms) AS latency_count,
                   -- whole microseconds: a sum of floats depends on the order of its terms
                   coalesce(sum(round(duration_ms * 1000)::BIGINT), 0)::BIGINT AS latency_us,
                   max(duration_ms) AS latency_max_ms, {", ".join(buckets)}
            FROM parsed WHERE why IS NULL AND at_us >= {low_us} AND at_us < {high_us}
            GROUP BY ALL
        """

    def _refused(
        self, block: Block, before: int | None, window_us: tuple[int, int]
    ) -> tuple[int, list[Rejected]]:
        """Count and samples of the refused lines in the window; of all, without ``before``."""
        number, samples = 0, []
        within = f"BETWEEN {window_us[0]} AND {window_us[1] - 1}"
        if block.too_long is not None and (before is None or window_us[0] <= before < window_us[1]):
            number += 1
            samples.append(Rejected(str(block.too_long), "is longer than 8 MiB"))
        default = "NULL" if before is None else str(before)
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE refused AS
            SELECT bad.byte_offset, bad.why,
                   left(replace(rtrim(bad.line, chr(10) || chr(13)), chr(0), '\ufffd'), 200) AS text
            FROM (SELECT * FROM parsed WHERE why IS NOT NULL) bad
            ASOF LEFT JOIN (SELECT byte_offset, at_us FROM parsed WHERE why IS NULL) good
                ON bad.byte_offset >= good.byte_offset
            WHERE {before is None} OR coalesce(good.at_us, {default}) {within}
            """
        )
        number += self.row("SELECT count(*) FROM refused")[0]
        rows = self.connection.execute(
            f"SELECT * FROM refused ORDER BY byte_offset LIMIT {MAX_SAMPLES}"
        ).fetchall()
        samples += [Rejected(str(offset), why, text) for offset, why, text in rows]
        return number, samples
