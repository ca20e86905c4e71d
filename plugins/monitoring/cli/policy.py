"""``monitoring policy``: policies checked and tested, and their schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from monitoring.cli.options import note
from userdb.errors import PolicyError

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
        note(error)
    Console().print(
        f"{len(loaded.policies)} policies are valid, {len(loaded.errors)} errors", highlight=False
    )
    if loaded.errors:
        raise typer.Exit(1)


@policy.command("test")
def policy_test(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="files of unit tests, or folders; default: tests of the policies in use"
        ),
    ] = None,
) -> None:
    """Run unit tests of policies; what was not as expected is shown as a diff."""
    from monitoring.backtest.cases import find_case_files, read_cases
    from monitoring.backtest.check import check_cases
    from monitoring.cli.backtest_output import print_failures
    from monitoring.policy.loader import policies_path

    passed = failed = broken = 0
    for path in find_case_files(paths or [policies_path() / "tests"]):
        try:
            cases = read_cases(path)
        except PolicyError as error:
            note(error)
            broken += 1
            continue
        failures = check_cases(cases)
        print_failures(path, failures)
        failing = len({one.test for one in failures})
        failed += failing
        passed += len(cases.cases) - failing
    Console().print(
        f"{passed} tests passed, {failed} failed"
        + (f"; {broken} files are not valid" if broken else ""),
        highlight=False,
    )
    if failed or broken:
        raise typer.Exit(1)


@policy.command("schema")
def policy_schema() -> None:
    """The JSON Schema of a policy file, for editors."""
    from monitoring.json_schema import schema_text
    from monitoring.policy.schema import policy_file_schema

    print(schema_text(policy_file_schema()), end="")
