"""Routes: alerts and their history."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import AwareDatetime

from monitoring.alerts.read import (
    ActRow,
    AlertRow,
    TransitionRow,
    get_alert,
    list_alerts,
    read_history,
)
from monitoring.api.access import requires
from monitoring.api.store import ConnectionDep

router = APIRouter(prefix="/alerts", tags=["alerts"], dependencies=[Depends(requires("read"))])

State = Literal["pending", "firing", "resolved"]


@router.get("")
def alerts(
    *,
    connection: ConnectionDep,
    state: State | None = None,
    policy: str | None = None,
    since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to")] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> list[AlertRow]:
    """Episodes that overlap [from, to), newest first."""
    return list_alerts(
        connection, state=state, policy=policy, since=since, until=until, limit=limit
    )


@router.get("/{alert_id}/history")
def history(
    connection: ConnectionDep, alert_id: str, as_of: AwareDatetime | None = None
) -> list[TransitionRow | ActRow]:
    """An episode's transitions, those that hold now or those that were held at ``as_of``, and
    what operators did about it; the latter have an ``action``."""
    if get_alert(connection, alert_id) is None:
        raise HTTPException(404, f"there is no alert {alert_id}")
    return read_history(connection, alert_id, as_of=as_of)
