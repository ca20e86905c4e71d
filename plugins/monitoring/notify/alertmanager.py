"""The channel ``alertmanager``: pushes alerts to a real Alertmanager, which takes it from there.

Alertmanager ends an alert that nobody sends again before its ``endsAt``, or without one before
its own ``resolve_timeout`` (5 minutes). This chain sends what changed, not what is. So a firing
alert is pushed with an ``endsAt`` that lies ``expires`` (default 7 days) ahead, and its real end
when it has come. Repeats (``repeat_interval``) push it again and move that time, also while it is
acknowledged. A chain that stands still leaves the alert firing until then: an end that is told
late is better than one that is not true.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import field_validator

from monitoring.duration import Duration
from monitoring.notify.channels import Message, Receipt, parse_options
from monitoring.notify.definition import Receiver
from monitoring.notify.http_post import HttpOptions, HttpPost
from monitoring.notify.payload import format_time

_PATH = "/api/v2/alerts"
_SHORTEST = timedelta(minutes=5)


class AlertmanagerOptions(HttpOptions):
    """``expires``: how far ahead a firing alert's end is set."""

    expires: Duration = timedelta(days=7)

    @field_validator("expires")
    @classmethod
    def _long_enough(cls, value: timedelta) -> timedelta:
        if value < _SHORTEST:
            raise ValueError("must be at least 5m, and longer than the route's repeat_interval")
        return value


class Alertmanager:
    """A channel to one Alertmanager; the receiver's URL is its base, ``https://am.example.com``."""

    options_model = AlertmanagerOptions

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._options = parse_options(receiver, AlertmanagerOptions)
        self._post = HttpPost(receiver, self._options)

    def send(self, message: Message) -> Receipt:
        """Push the message's alerts.

        Alertmanager keeps the good ones where it refuses some (400).

        Raises:
            DeliveryError: they were not all taken.
        """
        receiver = self._receiver
        until = message.sent_at + self._options.expires
        alerts = [posted(one, until) for one in message.payload["alerts"]]
        base = receiver.bare_url.rstrip("/")
        return self._post.post(
            base if base.endswith(_PATH) else base + _PATH,
            json.dumps(alerts, ensure_ascii=False).encode(),
            {
                **receiver.headers,
                "Content-Type": "application/json",
                "User-Agent": "monitoring-chain",
                "Idempotency-Key": message.id,
            },
            sent_at=message.sent_at,
        )

    def close(self) -> None:
        self._post.close()


def posted(alert: Mapping[str, Any], until: datetime) -> dict[str, Any]:
    """An alert of the payload as Alertmanager's API takes it; one that fires ends at ``until``.

    Names are made such as Alertmanager knows: ``cost-center`` becomes ``cost_center``.
    """
    made = {
        "labels": _names(alert["labels"]),
        "annotations": _names(alert["annotations"]),
        "startsAt": alert["startsAt"],
        "endsAt": format_time(until) if alert["status"] == "firing" else alert["endsAt"],
    }
    if alert["generatorURL"]:
        made["generatorURL"] = alert["generatorURL"]
    return made


def _names(texts: Mapping[str, str]) -> dict[str, str]:
    return {re.sub(r"^(?=\d)|[^a-zA-Z0-9_]", "_", name): text for name, text in texts.items()}
