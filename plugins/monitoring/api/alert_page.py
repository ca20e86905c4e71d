"""The page of an alert, which messages link to: what it is, evidence, and its history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path
from fastapi.responses import HTMLResponse

from monitoring.alerts.acts import successors
from monitoring.alerts.read import get_alert, read_history
from monitoring.api.access import requires
from monitoring.api.html_page import render_page
from monitoring.api.store import ConnectionDep
from monitoring.notify.context import evidence_of
from monitoring.notify.evidence import RequestFound
from userdb.errors import UnknownAlertError

# its address is that of ``monitoring.notify.payload.alert_link``
router = APIRouter(
    prefix="/alerts", include_in_schema=False, dependencies=[Depends(requires("read"))]
)


@router.get("/{alert_id}/history")
def page(
    connection: ConnectionDep,
    alert_id: Annotated[str, Path(max_length=64)],
    accept_language: Annotated[str, Header(alias="accept-language")] = "",
) -> HTMLResponse:
    """One alert; of one that late data changed, as it was last known, and what it is now."""
    alert = get_alert(connection, alert_id)
    if alert is None:
        raise UnknownAlertError(f"there is no alert {alert_id}")
    ids = successors(connection, alert_id)
    evidence = evidence_of(connection, alert)
    return render_page(
        "alert.html",
        accept_language,
        alert=alert,
        successors=[one for one in ids if one != alert_id],
        holds=alert_id in ids,
        evidence=[one for one in evidence if not isinstance(one, RequestFound)],
        requests=[one for one in evidence if isinstance(one, RequestFound)],
        history=read_history(connection, alert_id),
    )
