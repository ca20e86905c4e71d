"""What a receiver may answer with: a token for each alert that fires, and the link that uses it.

Tokens are made when a message is sent and are stored nowhere: not in the outbox, not in an
alert's annotations, which are logged and shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from monitoring.notify.channels import Message
from monitoring.notify.context import AlertContext
from monitoring.notify.definition import Receiver
from monitoring.notify.tokens import Grant, make_token


@dataclass(frozen=True)
class Callback:
    """``token`` allows this receiver to act about ``episode``; ``url`` acknowledges it."""

    episode: str
    token: str
    url: str


def callbacks(
    receiver: Receiver, message: Message, contexts: Mapping[str, AlertContext]
) -> dict[str, Callback]:
    """By fingerprint, the callbacks of the alerts that fire. The same message has the same ones
    in every try. None where no secret or no external URL is set."""
    external_url = str(message.payload.get("externalURL") or "")
    if not receiver.callback_secret or not external_url:
        return {}
    found = {}
    for alert in message.payload["alerts"]:
        context = contexts.get(alert["fingerprint"])
        if alert["status"] != "firing" or context is None or not context.episode:
            continue
        grant = Grant(context.episode, receiver.name)
        token = make_token(receiver.callback_secret, grant, now=message.decided_at)
        url = f"{external_url}/monitoring/alerts/ack?token={quote(token, safe='')}"
        found[alert["fingerprint"]] = Callback(context.episode, token, url)
    return found
