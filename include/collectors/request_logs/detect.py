"""Which format a log has: each is tried on its first lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from include.collectors.request_logs.blocks import Block
from include.collectors.request_logs.formats import FORMATS
from include.collectors.request_logs.parse import Parser
from include.collectors.request_logs.settings import LogSource, RequestLogsSettings

#: Columns that every format has, or that are made of others: they tell nothing of a format.
_MADE = {"time", "outcome", "reason", "route"}
#: Shares of the lines that a format takes, from which it is meant.
SURE, LIKELY = 0.98, 0.5


@dataclass(frozen=True)
class Candidate:
    """A format that takes some lines; ``open_ended`` as ``LogFormat`` has it.

    ``share`` is of the lines that are not empty; ``told``, of columns that have a value in any
    row; ``rows`` has the columns of ``Parser.requests``.
    """

    name: str
    open_ended: bool
    lines: int
    rejected: int
    told: int
    rows: pa.Table

    @property
    def share(self) -> float:
        return self.lines / max(self.lines + self.rejected, 1)


def detect(head: bytes) -> list[Candidate]:
    """Formats that take some of the whole lines ``head``, the most likely first.

    That is the one that takes the most lines, and tells the most of them. Formats that a source
    has to describe are not among them.
    """
    found = []
    for name, kind in FORMATS.items():
        if kind.options is not None:
            continue
        log_format = kind.build(None)
        source = LogSource(name="detect", paths=["-"], format=name)
        with Parser(source, RequestLogsSettings()) as parser:
            made = parser.requests(Block(0, head))
        if made.lines + made.other == 0:
            continue
        told = sum(
            made.rows[column].null_count < made.rows.num_rows
            for column in made.rows.column_names
            if column not in _MADE
        )
        found.append(
            Candidate(
                name, log_format.open_ended, made.lines + made.other, made.rejected, told, made.rows
            )
        )
    return sorted(found, key=lambda one: (-one.share, -one.told, _promised(one.name)))


def rivals(found: Sequence[Candidate]) -> list[str]:
    """Formats that read the same lines to the same rows as the first of ``found``."""
    return [one.name for one in found[1:] if one.rows.equals(found[0].rows)]


def _promised(name: str) -> int:
    """How many fields a format has: of two that tell the same, the narrower is meant."""
    return len(FORMATS[name].build(None).fields)
