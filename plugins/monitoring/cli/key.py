"""``monitoring key``: machines' credentials for the HTTP API."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitoring.cli.options import Format, is_json, opened_store
from monitoring.window import parse_time
from userdb.errors import MonitoringError

if TYPE_CHECKING:
    from monitoring.keys import ApiKey

key = typer.Typer(help="API keys of machines.", no_args_is_help=True)


@key.command("create")
def key_create(
    name: str,
    scope: Annotated[
        list[str],
        typer.Option(
            help="events:write, registry:write, routes:write, alerts:write or read; repeatable"
        ),
    ],
    for_: Annotated[str | None, typer.Option("--for", help="how long it is valid: 90d")] = None,
    end: Annotated[str | None, typer.Option("--to", help="RFC 3339; default: for ever")] = None,
    rate_limit: Annotated[
        str | None, typer.Option(help="100/minute, 5/second; default: the server's")
    ] = None,
    format_: Format = "table",
) -> None:
    """Make a key and print it: it is shown once, and only its hash is kept."""
    from monitoring.cli.output import print_json
    from monitoring.duration import parse_duration
    from monitoring.keys import create_key

    as_json = is_json(format_)
    now = datetime.now(UTC)
    if for_ is not None and end is not None:
        raise typer.BadParameter("give --for or --to, not both")
    expires_at = None if end is None else parse_time(end, "--to")
    if for_ is not None:
        try:
            expires_at = now + parse_duration(for_)
        except ValueError as error:
            raise MonitoringError(f"--for: {error}") from None
    with opened_store() as store:
        made, text = create_key(
            store,
            name,
            scope,
            by=getpass.getuser(),
            now=now,
            expires_at=expires_at,
            rate_limit=rate_limit,
        )
    print_json({**_row(made, now), "key": text}) if as_json else print(text)


@key.command("list")
def key_list(format_: Format = "table") -> None:
    """All keys ever made, without their secrets, the newest first."""
    from monitoring.cli.output import print_json
    from monitoring.keys import list_keys

    as_json = is_json(format_)
    now = datetime.now(UTC)
    with opened_store() as store, store.read() as connection:
        rows = [_row(one, now) for one in list_keys(connection)]
    print_json(rows) if as_json else _print_keys(rows)


@key.command("revoke")
def key_revoke(key: Annotated[str, typer.Argument(help="name or id")]) -> None:
    """End a key at once."""
    from monitoring.keys import revoke_key

    with opened_store() as store:
        revoke_key(store, key, by=getpass.getuser(), now=datetime.now(UTC))


def _row(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {**asdict(key), "state": key.state(now)}


def _print_keys(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from monitoring.cli.output import time_text, wide

    table = Table()
    for column in ("name", "id", "state", "scopes", "rate limit", "created", "by", "expires"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            escape(row["name"]),
            row["id"],
            row["state"] if row["state"] == "active" else f"[yellow]{row['state']}",
            " ".join(row["scopes"]),
            row["rate_limit"] or "-",
            time_text(row["created_at"]),
            escape(row["created_by"]),
            time_text(row["expires_at"]),
        )
    wide().print(table)
