"""``monitoring db``: userdb's schema."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from userdb.partitions import Partition
    from userdb.store import Store

db = typer.Typer(help="userdb's schema.", no_args_is_help=True)


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring userdb's schema to the code's revision; a new database is created."""
    from userdb.migrate import upgrade
    from userdb.partitions import keep_partitions
    from userdb.store import open_store

    store = open_store()
    upgrade(store)
    keep_partitions(store, now=datetime.now(UTC))
    _print_revision(store)


@db.command("current")
def db_current() -> None:
    """Which database is in use, and its schema's revision."""
    from userdb.store import open_store

    _print_revision(open_store())


@db.command("partitions")
def db_partitions(
    table: Annotated[str | None, typer.Argument(help="Show each partition of this table.")] = None,
) -> None:
    """The daily partitions that raw and minute tables have on a server, and their size."""
    from userdb.errors import ConfigError
    from userdb.partitions import PARTITIONED, read_partitions
    from userdb.store import open_store

    if table is not None and table not in PARTITIONED:
        raise ConfigError(
            f"{table} has no partitions; tables that have them: {', '.join(PARTITIONED)}"
        )
    store = open_store()
    try:
        with store.read() as connection:
            found = {name: read_partitions(connection, name) for name in PARTITIONED}
    finally:
        store.close()
    console = Console(soft_wrap=True)
    if not any(found.values()):
        console.print(f"{store.url}: no partitions", highlight=False)
        return
    shown = Table("table" if table is None else "partition", "days" if table is None else "until")
    shown.add_column("rows, about", justify="right")
    shown.add_column("MiB", justify="right")
    for name, parts in found.items():
        if table is None:
            days = [part for part in parts if part.until is not None]
            span = f"{days[0].name} to {days[-1].name}, {len(days)} days" if days else "none"
            shown.add_row(name, span, *_size(parts))
        elif name == table:
            for part in parts:
                until = "" if part.until is None else f"{part.until:%Y-%m-%d}"
                shown.add_row(part.name, until, *_size([part]))
    console.print(shown)


def _size(parts: Sequence[Partition]) -> tuple[str, str]:
    size = sum(part.bytes for part in parts) / 2**20
    return f"{sum(part.rows for part in parts):,}", f"{size:,.1f}"


def _print_revision(store: Store) -> None:
    from userdb.migrate import current

    try:
        Console(soft_wrap=True).print(
            f"{store.url}: {current(store) or 'no schema; run `monitoring db upgrade`'}",
            highlight=False,
        )
    finally:
        store.close()
