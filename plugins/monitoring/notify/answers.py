"""What a receiver answers: a token out of its message, and what it says of the alert."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from monitoring.alerts.acts import Action, act
from monitoring.notify.tokens import Grant, callback_secret, previous_secrets, read_token
from userdb.errors import TokenError
from userdb.store import Store

Answer = Literal["acknowledged", "resolved", "comment"]

#: What each answer does. A token allows no more than these.
ACTS: Mapping[Answer, Action] = MappingProxyType(
    {"acknowledged": "acknowledge", "resolved": "resolve", "comment": "comment"}
)


def grant_of(token: str, *, now: datetime) -> Grant:
    """What ``token`` allows, by ``MONITORING_CALLBACK_SECRET`` and its previous ones.

    Raises:
        TokenError: it is not genuine, its time is over, or there is no secret.
    """
    secret = callback_secret()
    if secret is None:
        raise TokenError("links and callbacks are off here: MONITORING_CALLBACK_SECRET is not set")
    return read_token(secret, token, now=now, previous=previous_secrets())


def answered(
    store: Store,
    token: str,
    answer: Answer,
    *,
    now: datetime,
    by: str | None = None,
    note: str | None = None,
) -> list[str]:
    """Do what a receiver says; returns the alerts that it is about.

    The author is the receiver, or ``by`` by way of it.

    Raises:
        TokenError: the token allows nothing.
        AlertError: that can't be done about the alert: it is over, say.
    """
    grant = grant_of(token, now=now)
    name = (by or "").strip()
    author = f"{name} via {grant.receiver}" if name else grant.receiver
    return act(store, grant.episode, ACTS[answer], at=now, author=author, note=note)
