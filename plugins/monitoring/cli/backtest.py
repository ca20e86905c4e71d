"""``monitoring backtest``: what policies would have done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitoring.cli.options import Format, is_json, opened_store

if TYPE_CHECKING:
    from monitoring.backtest.run import Grid


def backtest(
    policy: Annotated[Path, typer.Option("--policy", help="file of policies, or a folder of them")],
    start: Annotated[str, typer.Option("--from", help="first evaluation time, RFC 3339")],
    end: Annotated[str, typer.Option("--to", help="last evaluation time, RFC 3339")],
    series: Annotated[
        Path | None, typer.Option("--series", help="JSON lines of samples: needs no database")
    ] = None,
    from_userdb: Annotated[
        bool,
        typer.Option("--from-userdb", help="on real history; compared to policies as they are"),
    ] = False,
    every: Annotated[
        str | None,
        typer.Option(help="time between evaluations; default: each policy's evaluation_interval"),
    ] = None,
    format_: Format = "table",
) -> None:
    """What policies would have done, on a file of series or on real history. Nothing is stored."""
    if (series is None) != from_userdb:
        raise typer.BadParameter("give either --series FILE or --from-userdb")
    as_json = is_json(format_)
    grid = _grid(start, end, every)
    if series is None:
        _on_history(policy, grid, as_json)
    else:
        _on_series(policy, series, grid, as_json)


def _on_series(policy: Path, series: Path, grid: Grid, as_json: bool) -> None:
    from monitoring.backtest.document import backtest_document
    from monitoring.backtest.run import run_policies
    from monitoring.backtest.series import read_series
    from monitoring.cli.backtest_output import print_backtest
    from monitoring.cli.output import print_json
    from monitoring.policy.loader import load_valid_policies

    found = read_series(series)
    policies = load_valid_policies([policy], found.catalogue)
    runs = run_policies(policies, found.facts, grid, found.facts.groups)
    if as_json:
        print_json(backtest_document(runs))
    else:
        print_backtest(runs)


def _on_history(policy: Path, grid: Grid, as_json: bool) -> None:
    from monitoring.backtest.comparison import compare
    from monitoring.backtest.document import backtest_document, comparison_document
    from monitoring.backtest.history import run_on_history
    from monitoring.cli.backtest_output import print_backtest, print_comparisons
    from monitoring.cli.output import print_json
    from monitoring.policy.loader import load_valid_policies

    policies = load_valid_policies([policy])
    with opened_store() as store:
        runs, current = run_on_history(store, policies, grid)
    comparisons = [compare(runs[name], current.get(name)) for name in sorted(runs)]
    if as_json:
        print_json({**backtest_document(runs), "comparison": comparison_document(comparisons)})
    else:
        print_backtest(runs)
        print_comparisons(comparisons)


def _grid(start: str, end: str, every: str | None) -> Grid:
    from monitoring.backtest.run import Grid
    from monitoring.backtest.series import bucket_end
    from monitoring.duration import parse_duration
    from monitoring.policy.definition import MINUTE, at_least_a_minute
    from userdb.errors import WindowError

    try:
        first, last = bucket_end(start, "--from"), bucket_end(end, "--to")
    except ValueError as error:
        raise WindowError(str(error)) from None
    if first > last:
        raise WindowError(f"--to {end} lies before --from {start}; nothing would be evaluated")
    if every is None:
        return Grid(first, last)
    try:
        return Grid(first, last, at_least_a_minute(parse_duration(every)) // MINUTE)
    except ValueError as error:
        raise typer.BadParameter(f"--every: {error}") from None
