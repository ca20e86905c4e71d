"""Routes: how the chain is doing, and its ledger of collections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from monitoring.api.access import requires
from monitoring.api.page_links import PAGED, link_next, read_place
from monitoring.api.paging import Cursor
from monitoring.api.parameters import Limit, Since, Until
from monitoring.api.store import ConnectionDep, StoreDep
from monitoring.collection_log import CollectionRow, list_collections
from monitoring.pages import read_page
from monitoring.signals import COLLECTORS
from monitoring.status import Status, read_status

router = APIRouter(tags=["status"], dependencies=[Depends(requires("read"))])


@router.get("/status", summary="How the chain is doing")
def status(store: StoreDep) -> Status:
    """What is covered, missing, late and stale, now."""
    return read_status(store, now=datetime.now(UTC), collectors=COLLECTORS)


@router.get("/collections", responses=PAGED, summary="The ledger of collections")
def collections(
    request: Request,
    response: Response,
    connection: ConnectionDep,
    *,
    collector: Annotated[str | None, Query(max_length=64)] = None,
    status: Literal["ok", "failed", "unavailable", "awaited"] | None = None,
    since: Since = None,
    until: Until = None,
    cursor: Cursor = None,
    limit: Limit = 500,
) -> list[CollectionRow]:
    """The ledger's rows whose window overlaps [from, to), newest first."""
    page = read_page(
        lambda before, most: list_collections(
            connection,
            collector=collector,
            status=status,
            since=since,
            until=until,
            before=before,
            limit=most,
        ),
        lambda row: row.id,
        after=read_place(cursor, int),
        limit=limit,
    )
    link_next(request, response, page.rest)
    return page.rows
