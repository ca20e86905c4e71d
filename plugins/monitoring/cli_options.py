"""What several commands share: their options, and the userdb that they look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from userdb.store import Store

Format = Annotated[str, typer.Option("--format", help="table or json")]


def is_json(name: str) -> bool:
    """Whether ``--format`` asks for JSON; a usage error where it is no format."""
    if name not in ("table", "json"):
        raise typer.BadParameter(f"{name!r} is not a format; choose table or json")
    return name == "json"


@contextmanager
def open_current_store() -> Iterator[Store]:
    """userdb, whose schema is the code's; SchemaError where it is not."""
    from userdb.migrate import require_current
    from userdb.store import open_store

    store = open_store()
    try:
        require_current(store)
        yield store
    finally:
        store.close()
