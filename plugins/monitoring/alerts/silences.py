"""Silences in userdb: added, listed, expired. They are never deleted here."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update
from sqlalchemy.engine import Row

from monitoring.alerts.matchers import Matcher, match_all
from monitoring.alerts.silence import Silence
from monitoring.alerts.time_intervals import TimeInterval
from userdb.errors import InvalidRequestError, UnknownAlertError
from userdb.models import Silence as Stored
from userdb.store import Store
from userdb.times import require_aware

log = logging.getLogger(__name__)

_AUTHOR_LENGTH = 255


def add_silence(
    store: Store,
    matchers: Sequence[Matcher],
    *,
    starts_at: datetime,
    ends_at: datetime | None,
    author: str,
    comment: str,
    now: datetime,
    recurrence: TimeInterval | None = None,
) -> Silence:
    """Silence the alerts that match all of ``matchers``.

    Raises:
        InvalidRequestError: it would silence everything, never hold, or never end; or nobody says
            why.
        NaiveDatetimeError: a time has no time zone.
    """
    require_aware(starts_at, "starts_at")
    if match_all(matchers, {}):
        raise InvalidRequestError.of(
            "matchers",
            "a silence must not match every alert: give at least one matcher that an alert "
            'without labels fails, such as service="sim"',
        )
    if ends_at is None and recurrence is None:
        raise InvalidRequestError.of("ends_at", "a silence has an end, unless it recurs; give one")
    if ends_at is not None and require_aware(ends_at, "ends_at") <= max(starts_at, now):
        raise InvalidRequestError.of(
            "ends_at",
            f"the silence would end at {ends_at.isoformat()}, which is before it begins, or past",
        )
    for name, text in (("author", author), ("comment", comment)):
        if not text.strip():
            raise InvalidRequestError.of(
                name,
                f"the silence's {name} is empty: others must know who silenced what, and why",
            )
    made = Silence(
        id=uuid.uuid4().hex,
        matchers=tuple(matchers),
        starts_at=starts_at,
        ends_at=ends_at,
        author=author.strip()[:_AUTHOR_LENGTH],
        comment=comment.strip(),
        created_at=now,
        recurrence=recurrence,
    )
    row = {
        "id": made.id,
        "matchers": [str(one) for one in made.matchers],
        "starts_at": made.starts_at,
        "ends_at": made.ends_at,
        "recurrence": None
        if recurrence is None
        else recurrence.model_dump(mode="json", exclude_defaults=True),
        "author": made.author,
        "comment": made.comment,
        "created_at": made.created_at,
    }
    store.write(lambda connection: connection.execute(insert(Stored), [row]))
    return made


@dataclass(frozen=True)
class Place:
    """After which silence a page begins: they are in the order of their starts."""

    starts_at: datetime
    id: str


def read_silences(
    connection: Connection,
    *,
    since: datetime | None = None,
    after: Place | None = None,
    limit: int | None = None,
) -> list[Silence]:
    """Silences by start, at most ``limit``; those that were over by ``since`` are left out."""
    query = select(Stored.__table__).order_by(Stored.starts_at, Stored.id)
    if since is not None:
        query = query.where(
            or_(Stored.ends_at.is_(None), Stored.ends_at > since),
            or_(Stored.expired_at.is_(None), Stored.expired_at > since),
        )
    if after is not None:
        query = query.where(
            or_(
                Stored.starts_at > after.starts_at,
                and_(Stored.starts_at == after.starts_at, Stored.id > after.id),
            )
        )
    return [_silence(row) for row in connection.execute(query.limit(limit))]


def get_silence(connection: Connection, silence_id: str) -> Silence:
    """One silence.

    Raises:
        UnknownAlertError: there is none of that id.
    """
    row = connection.execute(select(Stored.__table__).where(Stored.id == silence_id)).one_or_none()
    if row is None:
        raise UnknownAlertError(
            f"there is no silence {silence_id}; `monitoring silence list --all` shows them"
        )
    return _silence(row)


def expire_silence(store: Store, silence_id: str, *, author: str, now: datetime) -> None:
    """End a silence now. One that is over stays as it is.

    Raises:
        UnknownAlertError: there is no such silence.
    """

    def work(connection: Connection) -> None:
        get_silence(connection, silence_id)
        connection.execute(
            update(Stored)
            .where(
                Stored.id == silence_id,
                Stored.expired_at.is_(None),
                or_(Stored.ends_at.is_(None), Stored.ends_at > now),
            )
            .values(expired_at=now, expired_by=author[:_AUTHOR_LENGTH])
        )

    store.write(work)


def _silence(row: Row[*tuple[Any, ...]]) -> Silence:
    return Silence(
        id=row.id,
        matchers=tuple(_matcher(row.id, text) for text in row.matchers),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        author=row.author,
        comment=row.comment,
        created_at=row.created_at,
        recurrence=None if row.recurrence is None else TimeInterval.model_validate(row.recurrence),
        expired_at=row.expired_at,
        expired_by=row.expired_by,
    )


def _matcher(silence_id: str, text: str) -> Matcher:
    try:
        return Matcher.parse(text)
    except ValueError as error:
        # an earlier version took Python's expressions; what can't be read must silence nothing
        log.warning("silence %s silences nothing: %s", silence_id, error)
        return Matcher("", "=", text)
