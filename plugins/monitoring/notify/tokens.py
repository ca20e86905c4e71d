"""Signed tokens: who may say something about an alert without logging in.

A message carries one for each alert. It names the episode and the receiver that was told, is
good for a week, and is signed with ``MONITORING_CALLBACK_SECRET``; without that there are no
tokens and no links to acknowledge. ``MONITORING_CALLBACK_SECRET_PREVIOUS`` holds keys that sign no
more, separated by commas: what they signed stays good for its week.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from itsdangerous import BadSignature, URLSafeSerializer

from userdb.errors import TokenError

GOOD_FOR = timedelta(days=7)
_SALT = "monitoring.alert"


@dataclass(frozen=True)
class Grant:
    """What a token allows: to act about ``episode``, as ``receiver``."""

    episode: str
    receiver: str


def callback_secret(environ: Mapping[str, str] | None = None) -> str | None:
    """The key of tokens; None where links and callbacks are off."""
    env = os.environ if environ is None else environ
    return env.get("MONITORING_CALLBACK_SECRET", "").strip() or None


def previous_secrets(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The keys of tokens that were sent before the key was changed."""
    env = os.environ if environ is None else environ
    listed = env.get("MONITORING_CALLBACK_SECRET_PREVIOUS", "").split(",")
    return tuple(one for text in listed if (one := text.strip()))


def make_token(secret: str, grant: Grant, *, now: datetime) -> str:
    """A token, safe in a URL, that is good for ``GOOD_FOR`` from ``now``."""
    until = int((now + GOOD_FOR).timestamp())
    return str(URLSafeSerializer(secret, salt=_SALT).dumps([grant.episode, grant.receiver, until]))


def read_token(secret: str, token: str, *, now: datetime, previous: Sequence[str] = ()) -> Grant:
    """What ``token`` allows, signed with ``secret`` or one of the ``previous`` ones.

    Raises:
        TokenError: it is not genuine, or its time is over.
    """
    try:
        # of several keys the serializer signs with the last, and takes what any has signed
        serializer = URLSafeSerializer([*previous, secret], salt=_SALT)
        episode, receiver, until = serializer.loads(token)
    except (BadSignature, TypeError, ValueError):
        raise TokenError("the link is not genuine; take it from the message as it is") from None
    if now.timestamp() > until:
        raise TokenError(
            "the link is too old; acknowledge with `monitoring alerts ack` or on the alert's page"
        )
    return Grant(episode, receiver)
