"""``monitoring routing``: routing.yaml checked, asked who is told of what, and its schema."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from monitoring.cli.options import Format, is_json, note
from userdb.errors import MonitoringError

if TYPE_CHECKING:
    from monitoring.notify.routing.tree import Routing

routing = typer.Typer(help="Who is told of which alerts.", no_args_is_help=True)

File = Annotated[Path | None, typer.Option("--file", help="default: the one in use")]


@routing.command("check")
def routing_check(
    path: Annotated[Path | None, typer.Argument(help="default: the one in use")] = None,
) -> None:
    """Validate routing.yaml; every error names file, line and field."""
    from monitoring.notify.routing.loader import load_routing, routing_path

    loaded = load_routing(path)
    known = _known(loaded.routing)
    errors = list(loaded.errors.values())
    errors += [
        f"{loaded.path}: {', '.join(routes)}: the receiver {name!r} is neither in receivers nor "
        f"set up by the environment; there are {', '.join(known) or 'none'}"
        for name, routes in loaded.routing.missing(known).items()
    ]
    for error in errors:
        note(error)
    if loaded.path is None:
        told = f"there is no {routing_path()}: every receiver is told everything"
    else:
        routes = sum(1 for _ in loaded.routing.root.walk())
        told = f"{loaded.path}: {routes} routes are valid, {len(errors)} errors"
    Console().print(told, highlight=False, soft_wrap=True)
    if errors:
        raise typer.Exit(1)


@routing.command("show")
def routing_show(
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[LABEL=VALUE]...", help="more labels")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--labels", help="a label of the alert: severity=critical")
    ] = None,
    file: File = None,
    format_: Format = "table",
) -> None:
    """Which receivers would be told of an alert with these labels, and when."""
    from monitoring.cli.output import print_json
    from monitoring.cli.routing_output import print_routes, route_rows
    from monitoring.notify.routing.loader import load_routing

    as_json = is_json(format_)
    given = dict(_label(text) for text in (*(labels or ()), *(more or ())))
    loaded = load_routing(file)
    for error in loaded.errors.values():
        note(error)
    known = _known(loaded.routing)
    rows = route_rows(loaded.routing, given, known, datetime.now(UTC))
    print_json(rows) if as_json else print_routes(rows)


@routing.command("schema")
def routing_schema() -> None:
    """The JSON Schema of routing.yaml, for editors."""
    from monitoring.json_schema import schema_text
    from monitoring.notify.routing.schema import routing_file_schema

    print(schema_text(routing_file_schema()), end="")


def _known(routing: Routing) -> list[str]:
    """Receivers of the file, and those that the environment sets up, usable here or not."""
    from monitoring.notify.receivers import load_receivers

    loaded = load_receivers()
    names = {one.name for one in routing.receivers}
    return sorted(names | {one.name for one in loaded.usable})


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise MonitoringError(f"{text!r} is not a label; write it as severity=critical")
    return name.strip(), value.strip().strip('"')
