"""``monitoring report``: what the alerts of a range were like."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from monitoring.cli.options import From, PolicyName, To, is_json, opened_store
from monitoring.window import parse_time
from userdb.errors import WindowError

if TYPE_CHECKING:
    from monitoring.report import PolicyReport, Report


def report(
    start: From,
    end: To,
    policy_name: PolicyName = None,
    format_: Annotated[str, typer.Option("--output", "--format", help="table or json")] = "table",
) -> None:
    """Per policy over a range: episodes, how fast people answered, false positives, messages."""
    from monitoring.cli.output import print_json
    from monitoring.report import read_report

    as_json = is_json(format_)
    since, until = parse_time(start, "--from"), parse_time(end, "--to")
    if since >= until:
        raise WindowError(f"the range from {start} to {end} is empty; --to must be after --from")
    with opened_store() as store:
        found = read_report(store, since, until, policy=policy_name)
    print_json(found) if as_json else _print(found)


def _print(found: Report) -> None:
    table = Table()
    table.add_column("policy", no_wrap=True)
    for column in (
        "episodes",
        "to acknowledge",
        "to resolve",
        "false positives",
        "flapping",
        "sent",
        "failed",
        "failed tries",
    ):
        table.add_column(column, justify="right")
    for one in found.policies:
        table.add_row(one.policy, *_cells(one))
    table.add_section()
    table.add_row("all", *_cells(found.total))
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


def _cells(one: PolicyReport) -> list[str]:
    return [
        str(one.episodes),
        f"{_duration(one.median_to_acknowledge_s)} ({one.acknowledged})",
        f"{_duration(one.median_to_resolve_s)} ({one.resolved})",
        _false_positives(one),
        str(one.flapping),
        str(one.sent),
        str(one.failed),
        str(one.failed_attempts),
    ]


def _false_positives(one: PolicyReport) -> str:
    share = one.false_positive_share
    marked = one.true_positives + one.false_positives
    shown = "-" if share is None else f"{share:.0%} of {marked}"
    return f"{shown}, {one.unmarked} unmarked" if one.unmarked else shown


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))
