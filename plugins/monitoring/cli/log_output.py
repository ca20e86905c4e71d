"""How ``monitoring logs`` shows what a log file is, and what of it could not be read."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from rich.markup import escape
from rich.table import Table

from include.collectors.request_logs.detect import LIKELY, SURE, Candidate, rivals
from include.collectors.request_logs.parse import Requests
from include.collectors.request_logs.reading import Reading
from monitoring.cli.options import note
from monitoring.cli.output import console, wide
from userdb.ledger import MAX_SAMPLES, Rejected


def print_candidates(found: Sequence[Candidate], rows: int) -> bool:
    """Show the most likely format with its first requests; false where none is likely."""
    if not found or found[0].share < LIKELY:
        console.print("no format takes most of the first lines", style="bold red")
        for one in found[:3]:
            console.print(f"  {one.name} takes {one.share:.0%}", highlight=False)
        console.print(
            "Lines that are JSON objects: describe them with mapped_json. Of nginx or Apache: "
            "give their own string to nginx_log_format or apache_log_format.",
            highlight=False,
        )
        return False
    best, same = found[0], rivals(found)
    # an open-ended format that no other one rivals: the lines have more than it
    longer = best.format.open_ended and not same
    sure = "certain" if best.share >= SURE and not same and not longer else "likely"
    console.print(
        f"[bold]{best.name}[/], {sure}: it takes {best.lines} of {best.lines + best.rejected} "
        f"lines ({best.share:.1%})",
        highlight=False,
    )
    if longer:
        console.print(
            "lines have more at their end, which it ignores: to read that too, give the server's "
            "own string to nginx_log_format or apache_log_format",
            highlight=False,
        )
    for one in found[1:]:
        console.print(
            f"{one.name} reads them to the same requests"
            if one.name in same
            else f"{one.name} takes {one.share:.1%} and tells {one.told} columns, not {best.told}",
            highlight=False,
        )
    if rows and best.rows.num_rows:
        _print_rows(best.rows.slice(0, rows))
    return True


def _print_rows(rows: pa.Table) -> None:
    """Requests as a table, without the columns that none of them has."""
    names = [name for name in rows.column_names if rows[name].null_count < rows.num_rows]
    table = Table(*names)
    for row in rows.select(names).to_pylist():
        table.add_row(*("-" if value is None else escape(str(value)) for value in row.values()))
    wide().print(table)


class Tally:
    """What of a log could be read, for stderr."""

    def __init__(self, log_format: str) -> None:
        self._format = log_format
        self.lines = self.rejected = self._other = 0
        self._samples: list[Rejected] = []

    def add(self, found: Requests) -> None:
        self.lines += found.lines
        self._other += found.other
        self.rejected += found.rejected
        self._samples += found.samples[: MAX_SAMPLES - len(self._samples)]

    def print(self, reading: Reading) -> None:
        other = f", {self._other} lines that tell of no request" if self._other else ""
        _say(f"{self._format}: {self.lines} requests{other}, {self.rejected} lines rejected")
        for sample in self._samples:
            _say(f"  rejected at byte {sample.where}: {sample.why}: {sample.text!r}")
        if self.rejected > len(self._samples):
            _say(f"  and {self.rejected - len(self._samples)} more")
        if reading.size > reading.stop:
            _say(
                f"  the last line, at byte {reading.stop}, has no end after "
                f"{reading.size - reading.stop} bytes: not read, as it may still be written"
            )


def _say(text: str) -> None:
    note(text)
