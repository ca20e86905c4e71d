"""Writes that look for what stands against them before they insert."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from userdb.store import Store

T = TypeVar("T")


def write_unique(store: Store, work: Callable[[Connection], T]) -> T:
    """``store.write(work)``, where ``work`` raises a ConflictError for a row that it finds.

    Somebody else may insert that row after ``work`` has looked: the unique key refuses then, and
    ``work``, run again, finds the row and can name it.
    """
    try:
        return store.write(work)
    except IntegrityError:
        return store.write(work)
