"""Routes: how the chain is doing, and its ledger of collections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from include.collectors.registry import names
from monitoring.api.access import requires
from monitoring.api.store import ConnectionDep, StoreDep
from monitoring.collection_log import CollectionRow, list_collections
from monitoring.status import Status, read_status

router = APIRouter(tags=["status"], dependencies=[Depends(requires("read"))])


@router.get("/status")
def status(store: StoreDep) -> Status:
    """What is covered, missing, late and stale, now."""
    return read_status(store, now=datetime.now(UTC), collectors=names())


@router.get("/collections")
def collections(
    *,
    connection: ConnectionDep,
    collector: str | None = None,
    status: Literal["ok", "failed", "unavailable"] | None = None,
    since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to")] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> list[CollectionRow]:
    """The ledger's rows whose window overlaps [from, to), newest first."""
    return list_collections(
        connection, collector=collector, status=status, since=since, until=until, limit=limit
    )
