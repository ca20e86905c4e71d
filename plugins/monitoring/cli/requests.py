"""``monitoring requests``: raw requests, as gateways logged them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitoring.cli.options import Format, is_json, opened_store
from monitoring.window import parse_time

if TYPE_CHECKING:
    from monitoring.request_log import RequestRow

requests = typer.Typer(help="Raw requests, as gateways logged them.", no_args_is_help=True)

_Text = Annotated[str | None, typer.Option(help="exactly this")]


@requests.command("list")
def requests_list(
    source: _Text = None,
    service: _Text = None,
    route: _Text = None,
    instance: _Text = None,
    outcome: Annotated[
        str | None, typer.Option(help="ok, client_error, auth_failure, timeout or server_error")
    ] = None,
    status: Annotated[int | None, typer.Option(min=0, max=999)] = None,
    request_id: _Text = None,
    min_duration_ms: Annotated[
        float | None, typer.Option(help="took at least so long", min=0)
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="inclusive; default: an hour before --to")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="exclusive; default: now; at most a day")
    ] = None,
    order: Annotated[str, typer.Option(help="time (newest first) or duration (slowest)")] = "time",
    limit: Annotated[int, typer.Option(min=1)] = 100,
    format_: Format = "table",
) -> None:
    """Raw requests of a range of time: those that are kept, always some of each outcome and the
    slowest."""
    from typing import get_args

    from monitoring.cli.output import print_json
    from monitoring.request_log import Order, RequestFilter, find_requests
    from userdb.models.requests import OUTCOMES

    as_json = is_json(format_)
    for value, of in ((outcome, OUTCOMES), (order, get_args(Order))):
        if value is not None and value not in of:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(of)}")
    wanted = RequestFilter.within(
        None if since is None else parse_time(since, "--from"),
        None if until is None else parse_time(until, "--to"),
        now=datetime.now(UTC),
        source=source,
        service=service,
        route=route,
        instance=instance,
        outcome=outcome,
        status=status,
        request_id=request_id,
        min_duration_ms=min_duration_ms,
    )
    ordered: Any = order
    with opened_store() as store, store.read() as connection:
        rows = find_requests(connection, wanted, order=ordered, limit=limit).rows
    print_json(rows) if as_json else _print(rows)


def _print(rows: Sequence[RequestRow]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from monitoring.cli.output import wide

    table = Table()
    for column in ("time", "source", "service", "route", "instance", "method", "path"):
        table.add_column(column, no_wrap=column == "time")
    table.add_column("status", justify="right")
    table.add_column("outcome")
    table.add_column("ms", justify="right")
    table.add_column("request id")
    for row in rows:
        asked = (row.source, row.service, row.route, row.instance, row.method, row.path)
        table.add_row(
            f"{row.occurred_at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%fZ}",
            *("-" if text is None else escape(text) for text in asked),
            "-" if row.status is None else str(row.status),
            escape(f"{row.outcome} ({row.outcome_reason})"),
            "-" if row.duration_ms is None else f"{row.duration_ms:.0f}",
            escape(row.request_id or "-"),
        )
    wide().print(table)
