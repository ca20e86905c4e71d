"""A message to try a receiver with: an alert that never was, and its end."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from monitoring.notify.channels import Message
from monitoring.notify.context import AlertContext
from monitoring.notify.definition import Receiver
from monitoring.notify.evidence import EventsFound
from monitoring.notify.payload import Group, alert_link, firing_alert, message, resolved_alert

ALERTNAME = "monitoring-receiver-test"
_EPISODE = "0" * 32


def sample_messages(receiver: Receiver, *, now: datetime, external_url: str) -> list[Message]:
    """A firing message and, where the receiver wants to know of ends, the resolved one."""
    labels = {"alertname": ALERTNAME, "severity": "info", "service": "example", "route": "/example"}
    annotations = {"summary": "this is a test of the receiver; nothing is wrong"}
    link = alert_link(external_url, _EPISODE)
    firing = firing_alert(labels, annotations, now - timedelta(minutes=5), link)
    found = EventsFound(count=3, level="error", exception_type="ValueError", message="an example")
    context = AlertContext(
        episode=_EPISODE,
        since=now - timedelta(minutes=7),
        value=0.5,
        unit="share",
        condition="requests.timeout_ratio > 0.05, window 5m",
        evidence=(found,),
    )
    alerts = [firing, resolved_alert(firing, now)] if receiver.send_resolved else [firing]
    return [
        Message(
            id=uuid.uuid4().hex,
            payload=message(
                receiver.name,
                Group({"alertname": ALERTNAME}),
                [one],
                external_url=external_url,
            ),
            sent_at=now,
            decided_at=now,
            context={one["fingerprint"]: context.model_dump(mode="json")},
        )
        for one in alerts
    ]
