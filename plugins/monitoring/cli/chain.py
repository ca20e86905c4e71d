"""The commands that run the chain, or look at how it does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from monitoring.cli.options import (
    Format,
    From,
    Notify,
    To,
    is_json,
    opened_store,
    parse_window,
)


def collect(
    start: From,
    end: To,
    collector: Annotated[list[str] | None, typer.Option(help="only this one; may repeat")] = None,
) -> None:
    """Collect a window into userdb."""
    from monitoring.cli.output import print_collections

    window, now = parse_window(start, end)
    with opened_store() as store:
        ok = print_collections(store, window, now, collector)
    if not ok:
        raise typer.Exit(1)


def analyse(start: From, end: To, notify: Notify = False) -> None:
    """Score the policies over a window and bring the alert history up to date."""
    from monitoring.chain import analyze_and_alert
    from monitoring.cli.output import print_analysis

    window, now = parse_window(start, end)
    with opened_store() as store:
        ok = print_analysis(analyze_and_alert(window, store, now=now, send=notify))
    if not ok:
        raise typer.Exit(1)


def run(start: From, end: To, notify: Notify = False) -> None:
    """Collect a window, then analyse it: the whole chain. A collector that fails doesn't stop
    the analysis of the others."""
    from monitoring.chain import analyze_and_alert
    from monitoring.cli.output import print_analysis, print_collections

    window, now = parse_window(start, end)
    with opened_store() as store:
        collected = print_collections(store, window, now, None)
        analysed = print_analysis(analyze_and_alert(window, store, now=now, send=notify))
    if not (collected and analysed):
        raise typer.Exit(1)


def status(format_: Format = "table") -> None:
    """Which userdb is in use; what is covered, missing, late and stale."""
    from monitoring.cli.output import print_json, print_status
    from monitoring.signals import COLLECTORS
    from monitoring.status import read_status

    as_json = is_json(format_)
    with opened_store() as store:
        state = read_status(store, now=datetime.now(UTC), collectors=COLLECTORS)
    print_json(state) if as_json else print_status(state)


def signals() -> None:
    """What a policy can look at."""
    from monitoring.cli.output import print_signals

    print_signals()
