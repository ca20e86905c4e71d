"""Which format a log has: each is tried on its first lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from include.collectors.request_logs.blocks import Block
from include.collectors.request_logs.formats import FORMATS, LogFormat
from include.collectors.request_logs.parse import Parser
from include.collectors.request_logs.settings import LogSource, RequestLogsSettings
from include.collectors.request_logs.statements import records_sql

#: Columns that every format has, or that are made of others: they tell nothing of a format.
_MADE = {"time", "outcome", "reason", "route"}
#: Shares of the lines that a format takes, from which it is meant.
SURE, LIKELY = 0.98, 0.5


@dataclass(frozen=True)
class Candidate:
    """A format that takes some lines.

    ``share`` is of the lines that are not empty; ``told``, of columns that have a value in any
    row; ``rows`` has the columns of ``Parser.requests``.
    """

    format: LogFormat
    lines: int
    rejected: int
    told: int
    rows: pa.Table

    @property
    def name(self) -> str:
        return self.format.name

    @property
    def share(self) -> float:
        return self.lines / max(self.lines + self.rejected, 1)


def detect(head: bytes) -> list[Candidate]:
    """Formats that take some of the whole lines ``head``, the most likely first.

    That is the one that takes the most lines, and tells the most of them; of two that tell the
    same, the one that has fewer fields. Formats that a source
    has to describe are not among them.
    """
    block = Block(0, head)
    found = []
    for log_format in _with_times(block):
        source = LogSource(name="detect", paths=["-"], format=log_format.name)
        with Parser(source, RequestLogsSettings()) as parser:
            made = parser.requests(block)
        lines = made.lines + made.other
        if lines == 0:
            continue
        told = sum(
            made.rows[column].null_count < made.rows.num_rows
            for column in made.rows.column_names
            if column not in _MADE
        )
        found.append(Candidate(log_format, lines, made.rejected, told, made.rows))
    return sorted(found, key=lambda one: (-one.share, -one.told, len(one.format.fields)))


def _with_times(block: Block) -> list[LogFormat]:
    """Formats by which any line has a time: a parser of each would take long to make."""
    formats = [kind.build(None) for kind in FORMATS.values() if kind.options is None]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET VARIABLE zone = 'UTC'")
        connection.register("block", block.table())
        return [
            one
            for one in formats
            if connection.execute(
                f"WITH {records_sql(one)} SELECT count({one.fields['occurred_at']}) FROM records"
            ).fetchall()
            != [(0,)]
        ]


def rivals(found: Sequence[Candidate]) -> list[str]:
    """Formats that read the same lines to the same rows as the first of ``found``."""
    return [one.name for one in found[1:] if one.rows.equals(found[0].rows)]
