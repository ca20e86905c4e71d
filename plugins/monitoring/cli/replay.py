"""The command ``monitoring replay``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from monitoring.cli.options import Format, From, To, is_json, note, opened_store, parse_window

_WORKERS = min(4, os.cpu_count() or 1)


def replay(
    start: From,
    end: To,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", help="only this one; may repeat")
    ] = None,
    definitions: Annotated[
        str,
        typer.Option(
            help="then: those that were in force; today: today's, which later runs keep to"
        ),
    ] = "then",
    workers: Annotated[int, typer.Option(min=1, help="threads that score")] = _WORKERS,
    notify: Annotated[
        bool, typer.Option(help="tell receivers, if what is true now changed")
    ] = True,
    format_: Format = "table",
) -> None:
    """Recompute a range of the alert history from what userdb holds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from monitoring import chain
    from monitoring.cli.output import print_json, print_replay
    from monitoring.log_format import writes_json

    as_json = is_json(format_)
    if definitions not in ("then", "today"):
        raise typer.BadParameter(f"{definitions!r} is neither then nor today")
    window, now = parse_window(start, end)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    bar_on_stderr = Progress(*columns, console=Console(stderr=True), disable=writes_json())
    with opened_store() as store, bar_on_stderr as bar:
        task = bar.add_task("reading", total=None)
        report, _ = chain.replay(
            window,
            store,
            now=now,
            only=policy,
            todays=definitions == "today",
            workers=workers,
            progress=lambda done, total, what: bar.update(
                task, completed=done, total=total, description=what
            ),
            send=notify,
        )
    print_json(report) if as_json else print_replay(report)
    for where, why in report.errors.items():
        note(f"{where}: {why}")
    if report.errors:
        raise typer.Exit(1)
