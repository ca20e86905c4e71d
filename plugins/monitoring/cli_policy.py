"""``monitoring policy``: policies checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

policy = typer.Typer(help="Policies.", no_args_is_help=True)


@policy.command("check")
def policy_check(
    path: Annotated[
        Path | None, typer.Argument(help="file or folder; default: the one in use")
    ] = None,
) -> None:
    """Validate policies; every error names file, line and field."""
    from monitoring.chain import policies_in_use

    loaded = policies_in_use(path)
    for error in loaded.errors:
        print(error, file=sys.stderr)  # noqa: T201
    Console().print(
        f"{len(loaded.policies)} policies are valid, {len(loaded.errors)} errors", highlight=False
    )
    if loaded.errors:
        raise typer.Exit(1)
