"""Routes: what operators do about alerts. The author is whoever asks.

What is done about an alert that late data took back is done about its successors.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from monitoring.alerts.acts import Action, act
from monitoring.alerts.read import get_alert
from monitoring.api.access import Principal, requires
from monitoring.api.alerts import AlertId, AlertNow
from monitoring.api.store import StoreDep
from userdb.store import Store

router = APIRouter(prefix="/alerts/{alert_id}", tags=["alerts"])

Who = Annotated[Principal, Depends(requires("alerts:write"))]
Text = Annotated[str, Field(max_length=10_000, examples=["the cache was cold"])]


class Said(BaseModel):
    """What is to be known besides."""

    model_config = ConfigDict(extra="forbid")

    note: Text | None = Field(default=None, description="why, or what is to be known")


class Comment(BaseModel):
    """A comment."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[Text, Field(min_length=1, pattern=r"\S")]


class Assignment(Said):
    """Who takes care of an alert."""

    to: Annotated[str, Field(min_length=1, max_length=255, pattern=r"\S", examples=["alice"])] = (
        Field(description="the person")
    )


class Verdict(Said):
    """Whether an alert was right; the last word holds."""

    verdict: Literal["true_positive", "false_positive"] = Field(description="was there a problem?")


@router.post("/acknowledge", summary="Acknowledge")
def acknowledge(alert_id: AlertId, who: Who, store: StoreDep, said: Said | None = None) -> AlertNow:
    """Somebody is on it, and escalation stops."""
    return _do(store, alert_id, "acknowledge", who, said)


@router.post("/unacknowledge", summary="Take an acknowledgement back")
def unacknowledge(
    alert_id: AlertId, who: Who, store: StoreDep, said: Said | None = None
) -> AlertNow:
    """409 where the alert is not acknowledged."""
    return _do(store, alert_id, "unacknowledge", who, said)


@router.post("/comment", summary="Comment")
def comment(alert_id: AlertId, who: Who, store: StoreDep, said: Comment) -> AlertNow:
    """Say something about the alert; about one that is over, too."""
    return _do(store, alert_id, "comment", who, Said(note=said.note))


@router.post("/assign", summary="Assign")
def assign(alert_id: AlertId, who: Who, store: StoreDep, said: Assignment) -> AlertNow:
    """Say who takes care of the alert."""
    return _do(store, alert_id, "assign", who, said, assignee=said.to.strip())


@router.post("/resolve", summary="Resolve by hand")
def resolve(alert_id: AlertId, who: Who, store: StoreDep, said: Said | None = None) -> AlertNow:
    """End the alert. It opens again only after its condition has been clear once.

    409 where it is over already.
    """
    return _do(store, alert_id, "resolve", who, said)


@router.post("/mark", summary="Mark as true or false positive")
def mark(alert_id: AlertId, who: Who, store: StoreDep, said: Verdict) -> AlertNow:
    """Say whether the alert was right; `monitoring report` counts it."""
    return _do(store, alert_id, said.verdict, who, said)


def _do(
    store: Store,
    alert_id: str,
    action: Action,
    who: Principal,
    said: Said | None,
    *,
    assignee: str | None = None,
) -> AlertNow:
    note = None if said is None else said.note
    now = datetime.now(UTC)
    about = act(store, alert_id, action, at=now, author=who.name, note=note, assignee=assignee)
    with store.read() as connection:
        found = [get_alert(connection, one) for one in about]
    return AlertNow(
        id=alert_id,
        holds=about == [alert_id],
        alerts=[one for one in found if one is not None],
    )
