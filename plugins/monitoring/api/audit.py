"""Routes: who changed what."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from monitoring.api.access import requires
from monitoring.api.paging import Cursor, cursor_after, read_cursor
from monitoring.api.store import ConnectionDep
from monitoring.audit import list_audit

router = APIRouter(prefix="/audit", tags=["audit"], dependencies=[Depends(requires("read"))])


class AuditEntry(BaseModel):
    """One change."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: AwareDatetime
    principal: str = Field(description="who: key: or user: and a name", examples=["user:ann"])
    action: str = Field(
        description="create, update, delete, register, deregister or expire", examples=["update"]
    )
    subject: str = Field(examples=["route/9f3c1a5b7d2e4f60"])
    before: dict[str, Any] | None = Field(description="null where it was not")
    after: dict[str, Any] | None = Field(description="null where it is no more")


class AuditPage(BaseModel):
    """Changes, the newest first. ``next`` is the cursor of what follows, null at the end."""

    items: list[AuditEntry]
    next: str | None = None


@router.get("/", summary="Who changed what, and when")
def audit(
    *,
    connection: ConnectionDep,
    kind: Annotated[Literal["route", "service", "instance"] | None, Query()] = None,
    subject: Annotated[
        str | None, Query(max_length=160, examples=["route/9f3c1a5b7d2e4f60"])
    ] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditPage:
    """Every change of routes, services and instances; heartbeats change nothing."""
    found = list_audit(
        connection,
        kind=kind,
        subject=subject,
        before_id=None if cursor is None else _number(cursor),
        limit=limit + 1,
    )
    more = len(found) > limit
    return AuditPage(
        items=[AuditEntry.model_validate(one) for one in found[:limit]],
        next=cursor_after(str(found[limit - 1].id)) if more else None,
    )


def _number(cursor: str) -> int:
    text = read_cursor(cursor)
    # what is no number of ours has nothing after it
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
