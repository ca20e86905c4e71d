"""Routes: alerts, as they stand or as they were believed once, and their history."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from monitoring.alerts.acts import successors
from monitoring.alerts.read import ActRow, AlertRow, TransitionRow, get_alert, read_history
from monitoring.alerts.search import AlertFilter, Place, find_alerts
from monitoring.api.access import requires
from monitoring.api.page_links import PAGED, link_next, read_place
from monitoring.api.paging import Cursor
from monitoring.api.parameters import (
    Instant,
    Limit,
    Matchers,
    PolicyName,
    Since,
    Until,
    parse_matchers,
)
from monitoring.api.store import ConnectionDep
from monitoring.notify.context import evidence_of
from monitoring.notify.evidence import Evidence
from monitoring.policy.definition import Severity
from userdb.errors import UnknownAlertError

router = APIRouter(prefix="/alerts", tags=["alerts"], dependencies=[Depends(requires("read"))])

State = Literal["pending", "firing", "resolved"]
AlertId = Annotated[
    str, Path(max_length=64, examples=["6f1c0a9de77b4f0f8a4f6f3a1f0c2b7d"], description="its id")
]
AsOf = Annotated[
    Instant | None, Query(description="what was believed then; default: what is believed now")
]


class AlertNow(BaseModel):
    """The alert that an id leads to."""

    id: str = Field(description="the id that was asked for")
    holds: bool = Field(description="whether there is still an alert of that id")
    alerts: list[AlertRow] = Field(
        description="that alert; or what late data made of it, oldest first: its successors, or "
        "nothing where it never was"
    )


@router.get("", responses=PAGED, summary="Alerts, newest first")
def alerts(
    request: Request,
    response: Response,
    connection: ConnectionDep,
    *,
    state: Annotated[State | None, Query(description="operators' acts included")] = None,
    policy: PolicyName = None,
    severity: Severity | None = None,
    match: Matchers = [],  # noqa: B006 - FastAPI copies it
    acknowledged: bool | None = None,
    since: Since = None,
    until: Until = None,
    as_of: AsOf = None,
    cursor: Cursor = None,
    limit: Limit = 500,
) -> list[AlertRow]:
    """Episodes that overlap [from, to): as they stand, or as userdb had them at `as_of`.

    A page may be short where few of many match; the header Link leads on until there are no more.
    """
    wanted = AlertFilter(
        state=state,
        policy=policy,
        severity=severity,
        matchers=parse_matchers(match, "match"),
        acknowledged=acknowledged,
        since=since,
        until=until,
    )
    after = read_place(cursor, Place)
    page = find_alerts(connection, wanted, as_of=as_of, after=after, limit=limit)
    link_next(request, response, page.rest)
    return page.rows


@router.get("/{alert_id}", summary="One alert")
def alert(connection: ConnectionDep, alert_id: AlertId, as_of: AsOf = None) -> AlertNow:
    """The alert, or those that late data made of it; with `as_of`, the alert as it was then."""
    known = get_alert(connection, alert_id)
    if known is None:
        raise UnknownAlertError(f"there is no alert {alert_id}")
    if as_of is not None:
        then = find_alerts(connection, AlertFilter(id=alert_id), as_of=as_of).rows
        return AlertNow(id=alert_id, holds=bool(then), alerts=then)
    ids = successors(connection, alert_id)
    found = [known] if ids == [alert_id] else [get_alert(connection, one) for one in ids]
    return AlertNow(
        id=alert_id, holds=ids == [alert_id], alerts=[one for one in found if one is not None]
    )


@router.get("/{alert_id}/evidence", summary="What userdb holds of an alert")
def evidence(connection: ConnectionDep, alert_id: AlertId) -> list[Evidence]:
    """A few lines, as messages have them: the worst routes and some of their requests, the top
    messages of exceptions, the state of containers. Of an alert that is over: of when it fired."""
    known = get_alert(connection, alert_id)
    if known is None:
        raise UnknownAlertError(f"there is no alert {alert_id}")
    return list(evidence_of(connection, known))


@router.get("/{alert_id}/history", summary="What became of an alert")
def history(
    connection: ConnectionDep, alert_id: AlertId, as_of: AsOf = None
) -> list[TransitionRow | ActRow]:
    """An episode's transitions, those that hold now or those that were held at `as_of`, and
    what operators did about it; the latter have an `action`."""
    if get_alert(connection, alert_id) is None:
        raise UnknownAlertError(f"there is no alert {alert_id}")
    return read_history(connection, alert_id, as_of=as_of)
