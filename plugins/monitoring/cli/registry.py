"""``monitoring services`` and ``monitoring routes``: the registry and the route table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitoring.cli.options import Format, is_json, opened_store

if TYPE_CHECKING:
    from monitoring.registry.rows import ServiceState
    from monitoring.routes.table import StoredRoute

services = typer.Typer(help="Services and their instances.", no_args_is_help=True)
routes = typer.Typer(help="The route table.", no_args_is_help=True)


@services.command("list")
def services_list(format_: Format = "table") -> None:
    """Services with their instances, as their leases stand now."""
    from monitoring.cli.output import print_json
    from monitoring.registry.rows import read_services

    as_json = is_json(format_)
    with opened_store() as store, store.read() as connection:
        found = read_services(connection, now=datetime.now(UTC))
    if as_json:
        from pydantic import TypeAdapter

        from monitoring.registry.rows import ServiceState

        print_json(TypeAdapter(list[ServiceState]).dump_python(found, mode="json"))
    else:
        _print_services(found)


@routes.command("list")
def routes_list(
    service: Annotated[str | None, typer.Option(help="that lead to this service")] = None,
    format_: Format = "table",
) -> None:
    """Routes in the order in which gateways ask them: the first that matches wins."""
    from monitoring.cli.output import print_json
    from monitoring.routes.match import rank
    from monitoring.routes.table import list_routes

    as_json = is_json(format_)
    with opened_store() as store, store.read() as connection:
        found = list_routes(connection, service=service)
    found.sort(key=lambda one: rank(one.spec))
    print_json([_row(one) for one in found]) if as_json else _print_routes(found)


def _row(route: StoredRoute) -> dict[str, Any]:
    return {
        "id": route.id,
        **route.spec.model_dump(),
        "version": route.version,
        "updated_at": route.updated_at,
        "updated_by": route.updated_by,
    }


def _print_services(found: list[ServiceState]) -> None:
    from rich.table import Table

    from monitoring.cli.output import wide

    table = Table()
    for column in ("service", "instance", "address", "state", "in service", "lease until", "why"):
        table.add_column(column, overflow="fold")
    styles = {"healthy": "green", "unhealthy": "yellow"}
    for service in found:
        name = service.name + (" [red](protected)" if service.protected else "")
        if not service.instances:
            table.add_row(name, *["-"] * 6)
        for one in service.instances:
            table.add_row(
                name,
                # host_port's brackets are no markup
                one.instance_id.replace("[", "\\["),
                one.endpoint.replace("[", "\\["),
                f"[{styles[one.state]}]{one.state}",
                "yes" if one.in_service else "no",
                f"{one.lease_until:%Y-%m-%d %H:%M:%SZ}",
                one.check_message or one.reason or "-",
            )
    wide().print(table)


def _print_routes(found: list[StoredRoute]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from monitoring.cli.output import wide

    table = Table()
    for column in ("route", "priority", "hosts", "path", "methods", "headers", "service", "id"):
        table.add_column(column, overflow="fold")
    for one in found:
        spec = one.spec
        table.add_row(
            spec.name + ("" if spec.enabled else " [yellow](disabled)"),
            str(spec.priority),
            " ".join(spec.hosts) or "any",
            escape(f"{spec.path_type} {spec.path}"),
            " ".join(spec.methods) or "any",
            escape(" ".join(f"{name}={value}" for name, value in spec.headers.items())) or "-",
            spec.service,
            one.id,
        )
    wide().print(table)
