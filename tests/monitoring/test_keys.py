"""Machines' keys in userdb."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from monitoring.keys import create_key, list_keys, recognise, revoke_key
from sqlalchemy import select

from userdb.errors import AccessError, ConflictError, InvalidRequestError, NotFoundError
from userdb.models import ApiKey
from userdb.store import Store

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


def recognised(store: Store, text: str, now: datetime = NOW) -> str:
    with store.read() as connection:
        return recognise(connection, text, now=now).name


def test_a_key_is_recognised_and_nothing_like_it(store: Store) -> None:
    made, text = create_key(store, "node-1", ["read", "events:write"], by="ops", now=NOW)
    assert made.scopes == ("events:write", "read")
    assert recognised(store, text) == "node-1"
    last = "0" if text[-1] != "0" else "1"
    for other in (text[:-1] + last, text[:-1], text + "0", text.upper(), f" {text}", "", "mon__"):
        with pytest.raises(AccessError, match="unknown"):
            recognised(store, other)


def test_only_the_hash_of_the_secret_is_kept(store: Store) -> None:
    _, text = create_key(store, "node-1", ["read"], by="ops", now=NOW)
    secret = text.rsplit("_", 1)[1]
    with store.read() as connection:
        row = connection.execute(select(ApiKey.__table__)).one()
        assert secret not in repr(tuple(row))
        assert secret not in repr(list_keys(connection))


def test_a_key_ends_at_its_time_and_when_it_is_revoked(store: Store) -> None:
    end = NOW + timedelta(days=1)
    _, short = create_key(store, "short", ["read"], by="ops", now=NOW, expires_at=end)
    _, gone = create_key(store, "gone", ["read"], by="ops", now=NOW + timedelta(seconds=1))
    assert recognised(store, short, end - timedelta(microseconds=1)) == "short"
    with pytest.raises(AccessError, match="short is expired"):
        recognised(store, short, end)
    revoke_key(store, "gone", by="ops", now=NOW)
    again = revoke_key(store, "gone", by="other", now=end)
    assert (again.revoked_at, again.revoked_by) == (NOW, "ops")
    with pytest.raises(AccessError, match="gone is revoked"):
        recognised(store, gone)
    with store.read() as connection:
        states = {key.name: key.state(end) for key in list_keys(connection)}
    assert states == {"gone": "revoked", "short": "expired"}


def test_a_name_is_given_once_even_after_the_key_is_gone(store: Store) -> None:
    create_key(store, "node-1", ["read"], by="ops", now=NOW)
    revoke_key(store, "node-1", by="ops", now=NOW)
    with pytest.raises(ConflictError, match="node-1"):
        create_key(store, "node-1", ["read"], by="ops", now=NOW)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"name": ""}, "no name"),
        ({"name": "a b"}, "no name"),
        ({"name": "x" * 129}, "no name"),
        ({"scopes": []}, "events:write"),
        ({"scopes": ["read", "admin"]}, "admin"),
        ({"expires_at": NOW}, "expired"),
        ({"rate_limit": "fast"}, "100/minute"),
    ],
)
def test_what_is_not_valid_is_named(
    sqlite_store: Store, given: dict[str, object], word: str
) -> None:
    arguments = {"name": "node-1", "scopes": ["read"], **given}
    with pytest.raises(InvalidRequestError, match=word):
        create_key(sqlite_store, by="ops", now=NOW, **arguments)  # type: ignore[arg-type]
    with sqlite_store.read() as connection:
        assert list_keys(connection) == []


def test_a_key_that_is_not_there_can_not_be_revoked(sqlite_store: Store) -> None:
    with pytest.raises(NotFoundError, match="monitoring key list"):
        revoke_key(sqlite_store, "none", by="ops", now=NOW)
