"""Raw requests, read: those that gateways logged and nodes sent, in a bounded range of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select
from sqlalchemy.engine import Row

from monitoring.pages import Page, read_page
from userdb.errors import InvalidRequestError
from userdb.models import RequestLog

Order = Literal["time", "duration"]

#: Where nobody says: the last hour.
DEFAULT_RANGE = timedelta(hours=1)
#: What a question may look through at most; there is no index by what is asked for but time.
LONGEST_RANGE = timedelta(days=1)


@dataclass(frozen=True)
class RequestFilter:
    """Which requests are looked for: those of [since, until); None: all.

    Attributes:
        min_duration_ms: only requests that are known to have taken so long.

    Raises:
        InvalidRequestError: the range is empty, or longer than ``LONGEST_RANGE``.
    """

    since: datetime
    until: datetime
    source: str | None = None
    service: str | None = None
    route: str | None = None
    instance: str | None = None
    outcome: str | None = None
    status: int | None = None
    request_id: str | None = None
    min_duration_ms: float | None = None

    def __post_init__(self) -> None:
        if not timedelta(0) < self.until - self.since <= LONGEST_RANGE:
            raise InvalidRequestError.of("from", "from must lie before to, and at most a day")

    @classmethod
    def within(
        cls, since: datetime | None, until: datetime | None, *, now: datetime, **others: Any
    ) -> RequestFilter:
        """Of the hour before ``until`` (None: ``now``) where ``since`` is None."""
        end = now if until is None else until
        return cls(end - DEFAULT_RANGE if since is None else since, end, **others)


@dataclass(frozen=True)
class RequestRow:
    """A request. ``outcome_reason`` is the field that decided its outcome, as ``status=504``."""

    occurred_at: datetime
    source: str
    service: str | None
    route: str | None
    instance: str | None
    method: str | None
    host: str | None
    path: str | None
    status: int | None
    outcome: str
    outcome_reason: str
    duration_ms: float | None
    bytes_sent: int | None
    client: str | None
    user: str | None
    user_agent: str | None
    request_id: str | None


@dataclass(frozen=True)
class Place:
    """Where a page ends; requests are told apart by time, file and offset."""

    occurred_at: datetime
    file_id: int
    byte_offset: int
    duration_ms: float | None = None


_COLUMNS = tuple(RequestRow.__dataclass_fields__)


def find_requests(
    connection: Connection,
    wanted: RequestFilter,
    *,
    order: Order = "time",
    after: Place | None = None,
    limit: int = 500,
) -> Page[RequestRow, Place]:
    """A page of raw requests: the newest first, or the slowest; those without a duration last."""
    table = RequestLog
    query = select(
        table.file_id, table.byte_offset, *(getattr(table, name) for name in _COLUMNS)
    ).where(table.occurred_at >= wanted.since, table.occurred_at < wanted.until)
    for name in ("source", "service", "route", "instance", "outcome", "status", "request_id"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(getattr(table, name) == value)
    if wanted.min_duration_ms is not None:
        query = query.where(table.duration_ms >= wanted.min_duration_ms)
    if order == "duration":
        query = query.order_by(table.duration_ms.desc())  # puts null last on both dialects
    query = query.order_by(table.occurred_at.desc(), table.file_id.desc(), table.byte_offset.desc())

    def read(after: Place | None, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
        return connection.execute(_following(query, order, after).limit(limit)).all()

    page = read_page(
        read,
        lambda row: Place(row.occurred_at, row.file_id, row.byte_offset, row.duration_ms),
        after=after,
        limit=limit,
    )
    rows = [RequestRow(**{name: getattr(row, name) for name in _COLUMNS}) for row in page.rows]
    return Page(rows, page.rest)


def _following(
    query: Select[*tuple[Any, ...]], order: Order, after: Place | None
) -> Select[*tuple[Any, ...]]:
    if after is None:
        return query
    earlier, duration = _earlier(after), RequestLog.duration_ms
    if order == "time":
        # says no more than what follows, but by the primary key
        return query.where(RequestLog.occurred_at <= after.occurred_at, earlier)
    if after.duration_ms is None:
        return query.where(duration.is_(None), earlier)
    return query.where(
        or_(
            duration < after.duration_ms,
            duration.is_(None),
            and_(duration == after.duration_ms, earlier),
        )
    )


def _earlier(after: Place) -> ColumnElement[bool]:
    """What comes behind ``after`` by time, file and offset."""
    table = RequestLog
    return or_(
        table.occurred_at < after.occurred_at,
        and_(table.occurred_at == after.occurred_at, table.file_id < after.file_id),
        and_(
            table.occurred_at == after.occurred_at,
            table.file_id == after.file_id,
            table.byte_offset < after.byte_offset,
        ),
    )
