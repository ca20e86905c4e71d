"""Evidence for policies over requests: the worst routes of a range of time, and some of their
requests, as a gateway logged them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from userdb.models import RequestLog, RequestMinute, Series
from userdb.models.requests import OTHER_ROUTE
from userdb.times import to_minute

#: At most so many raw requests are looked through, the newest of the range.
_NEWEST = 50_000
#: Characters of a request's path.
_PATH = 200
_FAILURES = ("timeout", "server_error", "auth_failure", "client_error")
_LABELS = ("source", "service", "route", "instance")


class RouteFound(BaseModel):
    """What a route answered; latencies in ms. ``failed`` is by outcome, without zeros."""

    model_config = ConfigDict(frozen=True)

    what: Literal["route"] = "route"
    service: str | None
    route: str | None
    instance: str | None
    requests: int
    failed: dict[str, int]
    mean_ms: float | None
    max_ms: float | None


class RequestFound(BaseModel):
    """One of the requests that an alert is about: an exemplar.

    ``reason`` is the field that decided the outcome, as ``status=504``.
    """

    model_config = ConfigDict(frozen=True)

    what: Literal["request"] = "request"
    at: datetime
    method: str | None
    path: str | None
    status: int | None
    outcome: str
    reason: str
    duration_ms: float | None
    request_id: str | None
    instance: str | None


def summed_routes(connection: Connection, start: datetime, end: datetime) -> list[Any]:
    """What each series of requests counted in [start, end), with its labels."""
    summed = ("requests", "ok", *_FAILURES, "bytes_sent", "latency_count", "latency_sum_ms")
    totals = (
        select(
            RequestMinute.series_id,
            *(func.sum(getattr(RequestMinute, name)).label(name) for name in summed),
            func.max(RequestMinute.latency_max_ms).label("latency_max_ms"),
        )
        .where(RequestMinute.minute >= to_minute(start), RequestMinute.minute < to_minute(end))
        .group_by(RequestMinute.series_id)
        .subquery()
    )
    return list(
        connection.execute(
            select(Series.labels, *totals.c).join(totals, totals.c.series_id == Series.id)
        )
    )


def worst_first(routes: Sequence[Any], column: str) -> list[Any]:
    """Rows of ``summed_routes`` by what a policy over ``column`` looks at; else by how long
    requests took."""
    return sorted(
        routes,
        key=lambda row: (float(_measured(row, column) or 0), float(_mean_ms(row) or 0)),
        reverse=True,
    )


def route_found(row: Any) -> RouteFound:
    return RouteFound(
        **{name: row.labels.get(name) for name in ("service", "route", "instance")},
        requests=int(row.requests),
        failed={name: int(getattr(row, name)) for name in _FAILURES if getattr(row, name)},
        mean_ms=_mean_ms(row),
        max_ms=row.latency_max_ms,
    )


def read_exemplars(
    connection: Connection,
    routes: Sequence[Any],
    column: str,
    start: datetime,
    end: datetime,
    *,
    named: Sequence[str],
    limit: int,
) -> Iterator[RequestFound]:
    """At most ``limit`` requests of [start, end) that count for a policy over ``column``: of each
    of ``routes`` its first, before any has its second.

    Failures: the newest; latencies: the slowest. At most ``_NEWEST`` requests are looked through.

    Args:
        named: all routes that were counted by their names: what is counted as ``{other}`` is of
            none of them.
    """
    asked = [row for row in routes if _measured(row, column) != 0]
    if not asked:
        return
    newest = RequestLog.occurred_at.desc()
    within = (RequestLog.occurred_at < end, RequestLog.occurred_at >= start)
    oldest = connection.scalar(
        select(RequestLog.occurred_at).where(*within).order_by(newest).offset(_NEWEST).limit(1)
    )
    since = start if oldest is None else oldest
    found = []
    for place, row in enumerate(asked):
        query = _counted_by(column).where(
            RequestLog.occurred_at < end,
            RequestLog.occurred_at >= since,
            *_of_series(row.labels, named),
        )
        found += [
            (rank, place, one) for rank, one in enumerate(connection.execute(query.limit(limit)))
        ]
    for _, _, one in sorted(found, key=lambda ranked: ranked[:2])[:limit]:
        yield RequestFound(
            at=one.occurred_at,
            method=one.method,
            path=one.path,
            status=one.status,
            outcome=one.outcome,
            reason=one.outcome_reason,
            duration_ms=one.duration_ms,
            request_id=one.request_id,
            instance=one.instance,
        )


def _counted_by(column: str) -> Select[*tuple[Any, ...]]:
    """The raw requests that ``column`` counts, those first that say most."""
    table = RequestLog
    query = select(
        *(table.occurred_at, table.method, func.substr(table.path, 1, _PATH).label("path")),
        *(table.status, table.outcome, table.outcome_reason, table.duration_ms),
        *(table.request_id, table.instance),
    )
    newest = (table.occurred_at.desc(), table.file_id.desc(), table.byte_offset.desc())
    if column in _FAILURES:
        return query.where(table.outcome == column).order_by(*newest)
    if column == "ok":
        return query.where(table.outcome != "ok").order_by(*newest)
    if column.startswith(("latency", "le_")):
        return query.where(table.duration_ms.is_not(None)).order_by(
            table.duration_ms.desc(), *newest
        )
    return query.order_by(*newest)


def _of_series(labels: dict[str, str], named: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    for name in _LABELS:
        column = getattr(RequestLog, name)
        if name == "route" and labels.get(name) == OTHER_ROUTE:
            # raw requests keep their own route
            yield column.not_in(named)
        elif name in labels:
            yield column == labels[name]
        else:
            yield or_(column.is_(None), column == "")


def _measured(row: Any, column: str) -> int | None:
    """What a policy over ``column`` counts of a route; None where that isn't requests."""
    if column == "ok":
        return int(row.requests) - int(row.ok)
    return int(getattr(row, column)) if column in ("requests", *_FAILURES) else None


def _mean_ms(row: Any) -> float | None:
    return float(row.latency_sum_ms) / int(row.latency_count) if row.latency_count else None
