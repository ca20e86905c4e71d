"""Machines' keys: made, listed, revoked, and recognised again.

A key is ``mon_<id>_<secret>``. Its secret is 192 random bits, more than anybody could try, so
that one round of SHA-256 is enough to keep it by (a password would need a slow hash).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.engine import Row

from userdb.errors import AccessError, ConflictError, InvalidRequestError, NotFoundError
from userdb.models import ApiKey as Stored
from userdb.store import Store
from userdb.times import require_aware

Scope = Literal["events:write", "registry:write", "routes:write", "alerts:write", "read"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_KEY = re.compile(r"mon_([0-9a-f]{12})_([0-9a-f]{48})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret.

    Attributes:
        rate_limit: like ``100/minute``; None: the server's default.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    rate_limit: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """What it is good for at ``now``; a key expires at ``expires_at``, not after it."""
        if self.revoked_at is not None:
            return "revoked"
        expired = self.expires_at is not None and self.expires_at <= now
        return "expired" if expired else "active"


def create_key(
    store: Store,
    name: str,
    scopes: Sequence[str],
    *,
    by: str,
    now: datetime,
    expires_at: datetime | None = None,
    rate_limit: str | None = None,
) -> tuple[ApiKey, str]:
    """Make a key, and return it with its text, which nobody can ask for again.

    Raises:
        InvalidRequestError: name, a scope, the end or the rate limit is not valid.
        ConflictError: there is or was a key of that name.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"{name!r} is no name for a key: letters, digits, . _ and -, at most 128"
        )
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InvalidRequestError(
            f"scopes {', '.join(unknown) or '(none)'} don't exist; there are {', '.join(SCOPES)}"
        )
    if expires_at is not None and require_aware(expires_at, "expires_at") <= now:
        raise InvalidRequestError(f"the key would have expired at {expires_at.isoformat()}")
    if rate_limit is not None:
        require_rate_limit(rate_limit)
    mark, secret = secrets.token_hex(6), secrets.token_hex(24)
    row = {
        "id": mark,
        "name": name,
        "secret_hash": _hash(secret),
        "scopes": sorted(set(scopes)),
        "rate_limit": rate_limit,
        "created_at": now,
        "created_by": by,
        "expires_at": expires_at,
    }

    def work(connection: Connection) -> ApiKey:
        taken = connection.scalar(select(Stored.id).where(Stored.name == name))
        if taken is not None:
            raise ConflictError(
                f"there is or was a key named {name} ({taken}); choose another name, so that "
                "what a key did stays its own",
                key=taken,
            )
        connection.execute(insert(Stored), [row])
        return _key(connection.execute(select(*_COLUMNS).where(Stored.id == mark)).one())

    return store.write(work), f"mon_{mark}_{secret}"


def list_keys(connection: Connection) -> list[ApiKey]:
    """All keys ever made, the newest first."""
    rows = connection.execute(select(*_COLUMNS).order_by(Stored.created_at.desc(), Stored.id))
    return [_key(row) for row in rows]


def revoke_key(store: Store, key: str, *, by: str, now: datetime) -> ApiKey:
    """End a key, by its id or name; one that has been revoked stays as it is.

    Raises:
        NotFoundError: there is no such key.
    """

    def work(connection: Connection) -> ApiKey:
        wanted = (Stored.id == key) | (Stored.name == key)
        connection.execute(
            update(Stored)
            .where(wanted, Stored.revoked_at.is_(None))
            .values(revoked_at=now, revoked_by=by)
        )
        row = connection.execute(select(*_COLUMNS).where(wanted)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no key {key}; `monitoring key list` names them")
        return _key(row)

    return store.write(work)


def looks_like_key(text: str) -> bool:
    """Whether ``text`` is meant to be one of our keys, and not somebody else's token."""
    return text.startswith("mon_")


def recognise(connection: Connection, text: str, *, now: datetime) -> ApiKey:
    """The active key that ``text`` is.

    Raises:
        AccessError: it is none; the answer doesn't say whether its id exists.
    """
    match = _KEY.fullmatch(text)
    row = (
        connection.execute(
            select(*_COLUMNS, Stored.secret_hash).where(Stored.id == match[1])
        ).one_or_none()
        if match
        else None
    )
    # compared even where there is no such key, in a time that doesn't depend on where it differs
    genuine = hmac.compare_digest(
        row.secret_hash if row is not None else _hash(""), _hash(match[2] if match else "-")
    )
    if row is None or not genuine:
        raise AccessError("the API key is unknown")
    key = _key(row)
    state = key.state(now)
    if state != "active":
        raise AccessError(f"the API key {key.name} is {state}; `monitoring key create` makes one")
    return key


def require_rate_limit(text: str) -> None:
    """Return where ``text`` is a rate limit, like ``100/minute`` or ``5 per second``.

    Raises:
        InvalidRequestError: it is none.
    """
    from limits import parse

    try:
        parse(text)
    except ValueError:
        raise InvalidRequestError(
            f"{text!r} is not a rate limit: write 100/minute or 5/second"
        ) from None


_COLUMNS = tuple(column for column in Stored.__table__.columns if column.name != "secret_hash")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: Row) -> ApiKey:  # type: ignore[type-arg]
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=tuple(row.scopes),
        rate_limit=row.rate_limit,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
    )
