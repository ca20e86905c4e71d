"""``monitoring db``: userdb's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console

if TYPE_CHECKING:
    from userdb.store import Store

db = typer.Typer(help="userdb's schema.", no_args_is_help=True)


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring userdb's schema to the code's revision; a new database is created."""
    from userdb.migrate import upgrade
    from userdb.store import open_store

    store = open_store()
    upgrade(store)
    _print_revision(store)


@db.command("current")
def db_current() -> None:
    """Which database is in use, and its schema's revision."""
    from userdb.store import open_store

    _print_revision(open_store())


def _print_revision(store: Store) -> None:
    from userdb.migrate import current

    try:
        Console(soft_wrap=True).print(
            f"{store.url}: {current(store) or 'no schema; run `monitoring db upgrade`'}",
            highlight=False,
        )
    finally:
        store.close()
