"""``monitoring gateway``: the route table as a gateway's configuration."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from monitoring.cli.options import note, opened_store

gateway = typer.Typer(help="The route table for gateways.", no_args_is_help=True)
render = typer.Typer(help="Render the table and the instances in service.", no_args_is_help=True)
gateway.add_typer(render, name="render")


@render.command("nginx")
def render_nginx(
    listen: Annotated[str, typer.Option(help="port, or address:port")] = "8080",
    access_log: Annotated[
        str, typer.Option(help="the file that request_logs reads, as nginx_json")
    ] = "/var/log/nginx/access.log",
    output: Annotated[
        Path | None, typer.Option(help="a file, replaced at once where it changes; default: stdout")
    ] = None,
) -> None:
    """A configuration for nginx's http block: log format, routes, and instances in service.

    With --output, says whether the file changed: `changed` or `unchanged`.
    """
    from include.collectors.request_logs.formats.nginx_json import LOG_FORMAT
    from monitoring.gateway import nginx
    from monitoring.gateway.read import read_snapshot
    from monitoring.gateway.snapshot import resolved

    with opened_store() as store, store.read() as connection:
        snapshot = read_snapshot(connection, now=datetime.now(UTC))
    snapshot, unknown = resolved(snapshot, _addresses)
    for name in unknown:
        note(f"{name} has no address here: its instances are left out")
    text = nginx.render(snapshot, log_format=LOG_FORMAT, listen=listen, access_log=access_log)
    if output is None:
        print(text, end="")
    else:
        print("changed" if _replace(output, text) else "unchanged")


def _addresses(name: str) -> Sequence[str]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


def _replace(path: Path, text: str) -> bool:
    """Write ``text`` so that whoever reads the file finds all of it, old or new."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    return True
