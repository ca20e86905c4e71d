"""How backtests are shown to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from pathlib import Path

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from monitoring.backtest.check import Failure
from monitoring.backtest.comparison import Comparison, Summary
from monitoring.backtest.document import time_text
from monitoring.backtest.run import Episode, PolicyRun, episodes
from monitoring.cli.output import console, label_text, wide
from monitoring.duration import format_duration

_STYLES = {".": "dim", "P": "yellow", "F": "bold red", "?": "magenta"}
_DIFF = {"-": "red", "+": "green"}
#: States of more evaluations are shown as runs: ``.×60 P×5 F×10``.
_LONGEST_LINE = 120


def states_text(states: str) -> Text:
    """States of a series, coloured, a long line as runs of equal ones."""
    text = Text()
    short = len(states) <= _LONGEST_LINE
    for letter, run in groupby(states):
        length = len(list(run))
        if short:
            text.append(letter * length, _STYLES[letter])
        else:
            text.append(" " if text else "")
            text.append(f"{letter}×{length}", _STYLES[letter])
    return text


def print_backtest(runs: Mapping[str, PolicyRun]) -> None:
    """States and episodes of every policy's series."""
    for name in sorted(runs):
        run = runs[name]
        table, found = Table(title=escape(name), title_justify="left"), Table()
        table.add_column("labels")
        table.add_column("states", overflow="fold")
        for column in ("labels", "active", "fired", "resolved"):
            found.add_column(column)
        for labels, number, own in run.by_series():
            table.add_row(escape(label_text(labels)), states_text(run.states(number, own)))
            for one in episodes(own):
                times = (one.active_at, one.fired_at, one.resolved_at)
                found.add_row(escape(label_text(labels)), *(time_text(at) or "-" for at in times))
        wide().print(table)
        if found.row_count:
            wide().print(found)
        else:
            console.print("no episode", highlight=False)


def print_failures(path: Path, failures: Sequence[Failure]) -> None:
    """Each with file and line, and below it what was expected (-) and what came (+)."""
    for one in failures:
        title = Text(f"{path}:{one.line}: {one.what}", "bold")
        console.print(title, soft_wrap=True)
        for line in one.difference:
            console.print(Text(f"    {line}", _DIFF.get(line[:1], "")), soft_wrap=True)


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """What each edited policy tells, and the policy as it is; then the episodes that differ."""
    table, changes = Table(title="as edited, and as it is"), Table(title="episodes that differ")
    for column in ("policy", "", "episodes", "never fired", "pages", "time firing"):
        table.add_column(column)
    for column in ("policy", "labels", "edited fires", "until", "now fires", "until"):
        changes.add_column(column)
    for one in comparisons:
        table.add_row(one.policy, "edited", *_summary_texts(one.edited))
        if one.current is None:
            table.add_row("", "as it is", "no such policy", "", "", "")
        else:
            table.add_row("", "as it is", *_summary_texts(one.current))
        for change in one.changes:
            changes.add_row(
                one.policy,
                escape(label_text(change.labels)),
                *_span_texts(change.edited),
                *_span_texts(change.current),
            )
    wide().print(table)
    if changes.row_count:
        wide().print(changes)
    else:
        console.print("no episode differs", highlight=False)


def _summary_texts(one: Summary) -> tuple[str, str, str, str]:
    firing = format_duration(timedelta(minutes=one.firing_minutes))
    return str(one.episodes), str(one.never_fired), str(one.pages), firing


def _span_texts(one: Episode | None) -> tuple[str, str]:
    if one is None:
        return "-", "-"
    return time_text(one.fired_at) or "-", time_text(one.resolved_at) or "still"
