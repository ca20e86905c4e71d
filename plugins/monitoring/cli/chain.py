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
    from monitoring.notify.heartbeat import beat

    window, now = parse_window(start, end)
    beat("start", f"run for {window}")
    with opened_store() as store:
        collected = print_collections(store, window, now, None)
        analysed = print_analysis(analyze_and_alert(window, store, now=now, send=notify))
    complete = collected and analysed
    beat("success" if complete else "fail", f"run for {window}")
    if not complete:
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


def watch(
    tell: Annotated[
        bool, typer.Option("--tell/--no-tell", help="tell MONITORING_WATCHDOG_URL what is news")
    ] = True,
    format_: Format = "table",
) -> None:
    """Whether something is wrong with the chain itself; exit code 1 if so. For cron: needs no
    Airflow, and tells also that userdb can't be reached."""
    from monitoring.cli.output import print_json, print_watch
    from monitoring.watch import Limits
    from monitoring.watch import watch as look
    from monitoring.watch_memory import Memory, memory_path

    as_json = is_json(format_)
    found = look(
        Memory(memory_path()),
        now=datetime.now(UTC),
        limits=Limits.from_environment(),
        tells=tell,
    )
    print_json(found) if as_json else print_watch(found)
    if found.problems:
        raise typer.Exit(1)


def signals() -> None:
    """What a policy can look at."""
    from monitoring.cli.output import print_signals

    print_signals()
