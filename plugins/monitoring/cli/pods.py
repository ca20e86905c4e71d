"""``monitoring pods``: manifests compared with what runs now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monitoring.cli.options import Format, is_json, note
from userdb.errors import ConfigError

if TYPE_CHECKING:
    from include.collectors.container_stats.settings import ContainerStatsSettings, EngineHost

pods = typer.Typer(help="Kubernetes manifests as the declared state.", no_args_is_help=True)


@pods.callback()
def _group() -> None:
    """Keeps `check` a command of its own while it is the only one."""


@pods.command("check")
def pods_check(
    folder: Annotated[Path, typer.Argument(help="folder of manifests")],
    host: Annotated[
        str | None, typer.Option("--host", help="a host of sources.yaml, if there are several")
    ] = None,
    format_: Format = "table",
) -> None:
    """What differs now between a folder of manifests and what a host runs.

    Exit code 1 if anything differs, or a manifest is bad.
    """
    from include.collectors.config import load_settings
    from include.collectors.container_stats.runtimes import open_runtime
    from include.collectors.manifests.comparison import compare
    from include.collectors.manifests.loader import load_manifests
    from monitoring.cli.output import print_json, wide

    as_json = is_json(format_)
    manifests = load_manifests(folder)
    settings = load_settings().container_stats
    chosen = _host(settings, host, folder)
    listing = open_runtime(chosen, settings).containers()
    _, differences = compare(manifests, listing, chosen)
    for problem in manifests.problems:
        note(problem)
    for rejected in listing.rejected:
        note(f"{rejected.where}: {rejected.why}")
    if as_json:
        print_json(differences)
    else:
        if differences:
            table = Table()
            for column in ("what", "container", "message", "declared in"):
                table.add_column(column)
            for one in differences:
                table.add_row(
                    *map(escape, (one.what, one.container, one.message, one.where or "-"))
                )
            wide().print(table)
        told = (
            f"{chosen.name}: {len(manifests.containers)} containers in {manifests.files} files "
            f"are declared, {len(listing.containers)} are there, {len(differences)} differences, "
            f"{len(manifests.problems)} bad manifests"
        )
        Console().print(told, highlight=False, soft_wrap=True)
    if differences or manifests.problems:
        raise typer.Exit(1)


def _host(settings: ContainerStatsSettings, name: str | None, folder: Path) -> EngineHost:
    """The host that is named; else the one that has this folder; else the only one."""
    hosts = {one.name: one for one in settings.hosts}
    if name is None:
        named = [
            one
            for one in settings.hosts
            if one.manifests is not None and Path(one.manifests).resolve() == folder.resolve()
        ]
        found = named or settings.hosts
        if len(found) == 1:
            return found[0]
    elif name in hosts:
        return hosts[name]
    which = "which host?" if name is None else f"there is no host {name!r};"
    raise ConfigError(
        f"{which} give one of container_stats.hosts as --host: {', '.join(hosts) or 'none is set'}"
    )
