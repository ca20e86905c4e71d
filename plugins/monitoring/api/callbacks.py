"""Routes for whoever got a message, and may have no login: its token is the credential.

A GET changes nothing, as mail scanners open every link; what acts is the POST of the page's form.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, Header
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from monitoring.alerts.overlay import successors
from monitoring.alerts.read import get_alert
from monitoring.api.acknowledge_page import Page, render
from monitoring.api.store import StoreDep
from monitoring.notify.answers import Answer, answered, grant_of
from monitoring.notify.context import evidence_of
from userdb.errors import AlertError, TokenError, UnknownAlertError
from userdb.store import Store

callbacks = APIRouter(prefix="/callbacks", tags=["callbacks"])
pages = APIRouter(prefix="/alerts/ack", include_in_schema=False)

Token = Annotated[str, Field(max_length=2000)]
Name = Annotated[str, Field(max_length=100)]
Note = Annotated[str, Field(max_length=10_000)]
Language = Annotated[str, Header(alias="accept-language")]


class Callback(BaseModel):
    """What a receiver says of an alert; ``token`` is out of the message that it got."""

    model_config = ConfigDict(extra="forbid")

    token: Token
    action: Answer
    note: Note | None = None
    by: Name | None = None


class Taken(BaseModel):
    """The alerts that the callback was about: more than one where late data split the alert."""

    alerts: list[str]


@callbacks.post("")
def take(body: Callback, store: StoreDep) -> Taken:
    """Acknowledge, resolve or comment on the alert that the token is for. Needs no login."""
    now = datetime.now(UTC)
    return Taken(
        alerts=answered(store, body.token, body.action, now=now, by=body.by, note=body.note)
    )


@pages.get("")
def ask(store: StoreDep, token: Token = "", accept_language: Language = "") -> HTMLResponse:
    """The page that asks whether to acknowledge; changes nothing."""
    try:
        grant = grant_of(token, now=datetime.now(UTC))
    except TokenError as error:
        return render(Page(error=str(error)), accept_language, status=403)
    return render(_page(store, grant.episode, token), accept_language)


@pages.post("")
def acknowledge(
    store: StoreDep,
    token: Annotated[Token, Form()],
    by: Annotated[Name, Form()] = "",
    note: Annotated[Note, Form()] = "",
    accept_language: Language = "",
) -> HTMLResponse:
    """Acknowledge the alert that the token is for, and say so."""
    now = datetime.now(UTC)
    try:
        episode = grant_of(token, now=now).episode
        answered(store, token, "acknowledged", now=now, by=by, note=note)
    except TokenError as error:
        return render(Page(error=str(error)), accept_language, status=403)
    except AlertError as error:
        status = 404 if isinstance(error, UnknownAlertError) else 409
        return render(Page(error=str(error)), accept_language, status=status)
    return render(_page(store, episode, token, done=True), accept_language)


def _page(store: Store, episode: str, token: str, *, done: bool = False) -> Page:
    """The page about the alert that holds now where ``episode`` was."""
    with store.read() as connection:
        found = [get_alert(connection, one) for one in successors(connection, episode)]
        alerts = [one for one in found if one is not None]
        if not alerts:
            return Page(error=f"alert {episode} never was: late data took it back")
        evidence = evidence_of(connection, alerts[-1])
    return Page(alert=alerts[-1], evidence=evidence, token=token, done=done)
