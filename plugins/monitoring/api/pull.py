"""Routes: what this node holds, page by page, for others that pull it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic_core import to_json

from include.collectors.nodes.pages import read_page
from include.collectors.nodes.wire import (
    ContainerMinute,
    EventRow,
    Kind,
    PulledPage,
    RequestMinute,
    Time,
)
from monitoring.api.access import requires
from monitoring.api.store import ConnectionDep
from userdb.times import from_minute

router = APIRouter(prefix="/pull", tags=["pull"], dependencies=[Depends(requires("read"))])

#: What is told to those who don't say from when on.
_REACH = timedelta(days=1)

Since = Annotated[
    str | None,
    Query(max_length=512, description="The cursor of the page before; none: from the beginning"),
]
From = Annotated[
    Time | None,
    Query(alias="from", description="Nothing from before is told; by default a day ago"),
]


CoveredFrom = Annotated[
    Time | None, Query(description="Coverage is told from here on; by default a day ago")
]


@router.get(
    "/events",
    response_model=PulledPage[EventRow],
    summary="Events in the order in which they were stored",
)
def events(
    *,
    connection: ConnectionDep,
    since: Since = None,
    begin: From = None,
    covered_from: CoveredFrom = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events")] = 500,
) -> Response:
    """Reading on from the last page's cursor misses no event and repeats none, also while others
    are being stored."""
    return _page(connection, "events", since, begin, covered_from, limit)


@router.get(
    "/requests",
    response_model=PulledPage[RequestMinute],
    summary="Minutes of requests in the order in which they changed",
)
def requests(
    *,
    connection: ConnectionDep,
    since: Since = None,
    begin: From = None,
    covered_from: CoveredFrom = None,
    limit: Annotated[int, Query(ge=1, le=1440, description="Minutes")] = 60,
) -> Response:
    """A minute comes again when late data changes it, each time whole: it replaces what was read
    of it before."""
    return _page(connection, "requests", since, begin, covered_from, limit)


@router.get(
    "/containers",
    response_model=PulledPage[ContainerMinute],
    summary="Samples of containers by minute, in the order of changes",
)
def containers(
    *,
    connection: ConnectionDep,
    since: Since = None,
    begin: From = None,
    covered_from: CoveredFrom = None,
    limit: Annotated[int, Query(ge=1, le=1440, description="Minutes")] = 60,
) -> Response:
    """A sample never changes; a minute comes again when samples are added to it."""
    return _page(connection, "containers", since, begin, covered_from, limit)


def _page(
    connection: ConnectionDep,
    kind: Kind,
    since: str | None,
    begin: datetime | None,
    covered_from: datetime | None,
    limit: int,
) -> Response:
    now = datetime.now(UTC)
    page = read_page(
        connection,
        kind,
        since=since,
        begin=begin or now - _REACH,
        covered_from=covered_from or now - _REACH,
        limit=limit,
        now=now,
    )
    covered = [
        {"from": from_minute(low), "to": from_minute(high + 1)} for low, high in page.covered
    ]
    # rows of userdb as they are: checking tens of thousands again would take longer than reading
    body = to_json(
        {
            "items": page.items,
            "cursor": page.cursor,
            "more": page.more,
            "covered": covered,
            "node_time": now,
        }
    )
    return Response(body, media_type="application/json")
