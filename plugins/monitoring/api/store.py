"""userdb as the routes see it: opened once in an API server's process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated

from fastapi import Depends
from sqlalchemy import Connection

from userdb.migrate import require_current
from userdb.store import Store, open_store


@cache
def _opened() -> Store:
    store = open_store()
    require_current(store)
    return store


def get_store() -> Store:
    """userdb, opened; tried again at the next request where that failed."""
    return _opened()


StoreDep = Annotated[Store, Depends(get_store)]


def read_connection(store: StoreDep) -> Iterator[Connection]:
    with store.read() as connection:
        yield connection


ConnectionDep = Annotated[Connection, Depends(read_connection)]
