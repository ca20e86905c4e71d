"""Upserts as MySQL 8.4 gets them; each one that a test sends to MariaDB is checked like this."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, literal_column
from sqlalchemy.dialects.mysql import insert

from tests.userdb.mysql84 import ambiguous_names
from userdb.models import RetentionFloor, Series
from userdb.store import Store

_FLOOR = insert(RetentionFloor).values(family="request", first_minute=1)
_NEW = _FLOOR.inserted.first_minute


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (literal_column("first_minute"), ["first_minute"]),
        (func.greatest(literal_column("`first_minute`"), _NEW), ["`first_minute`"]),
        (RetentionFloor.first_minute, []),
        (_NEW, []),
        (func.greatest(RetentionFloor.first_minute, _NEW + 1), []),
        (7, []),
    ],
)
def test_a_name_without_its_table_is_found(value: Any, found: list[str]) -> None:
    assert ambiguous_names(_FLOOR.on_duplicate_key_update(first_minute=value)) == found


@pytest.mark.mariadb
def test_what_is_sent_is_looked_at(mariadb_store: Store) -> None:
    wrong = insert(Series).on_duplicate_key_update(family=literal_column("family"))
    row = {"family": "request", "fingerprint": "0" * 16, "labels": {}}
    with mariadb_store.read() as connection, pytest.raises(AssertionError, match="family"):
        connection.execute(wrong, [row])
