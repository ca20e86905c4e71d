"""Routes: raw requests, as gateways logged them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from monitoring.api.access import requires
from monitoring.api.page_links import PAGED, link_next, read_place
from monitoring.api.paging import Cursor
from monitoring.api.parameters import Limit, Since, Until
from monitoring.api.store import ConnectionDep
from monitoring.request_log import Order, Place, RequestFilter, RequestRow, find_requests

router = APIRouter(tags=["requests"], dependencies=[Depends(requires("read"))])

Text = Annotated[str | None, Query(max_length=255, description="exactly this; absent: any")]
Outcome = Literal["ok", "client_error", "auth_failure", "timeout", "server_error"]


@router.get("/requests", responses=PAGED, summary="Raw requests")
def requests(
    request: Request,
    response: Response,
    connection: ConnectionDep,
    *,
    source: Text = None,
    service: Text = None,
    route: Text = None,
    instance: Text = None,
    outcome: Outcome | None = None,
    status: Annotated[int | None, Query(ge=0, le=999)] = None,
    request_id: Annotated[str | None, Query(max_length=128)] = None,
    min_duration_ms: Annotated[
        float | None, Query(ge=0, le=1e9, description="took at least so long")
    ] = None,
    since: Since = None,
    until: Until = None,
    order: Annotated[Order, Query(description="newest or slowest first")] = "time",
    cursor: Cursor = None,
    limit: Limit = 500,
) -> list[RequestRow]:
    """Raw requests of [from, to), default: the last hour; at most a day.

    Which are kept is in the settings of the collector; always some of each minute and outcome, and
    the slowest.
    """
    wanted = RequestFilter.within(
        since,
        until,
        now=datetime.now(UTC),
        source=source,
        service=service,
        route=route,
        instance=instance,
        outcome=outcome,
        status=status,
        request_id=request_id,
        min_duration_ms=min_duration_ms,
    )
    page = find_requests(
        connection, wanted, order=order, after=read_place(cursor, Place), limit=limit
    )
    link_next(request, response, page.rest)
    return page.rows
