"""Messages as the outbox would hand them to a channel."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from monitoring.notify.channels import Message
from monitoring.notify.context import AlertContext
from monitoring.notify.payload import Group, firing_alert, message, resolved_alert

from tests.notify.episodes import NOW

EPISODE = "e" * 32
URL = "https://airflow.example"


def alert(
    *,
    resolved_at: datetime | None = None,
    annotations: dict[str, str] | None = None,
    fired_at: datetime = NOW,
    **labels: str,
) -> Any:
    given = {"alertname": "timeouts", "severity": "critical", "service": "sim", **labels}
    texts = {"summary": "half of the requests time out"} if annotations is None else annotations
    made = firing_alert(given, texts, fired_at, f"{URL}/monitoring/alerts/{EPISODE}/history")
    return made if resolved_at is None else resolved_alert(made, resolved_at)


def message_of(
    *alerts: Any,
    kind: str = "alerts",
    context: AlertContext | None = None,
    external_url: str = URL,
    sent_at: datetime = NOW,
    id_: str = "f" * 32,
    max_alerts: int = 0,
) -> Message:
    """A message of these alerts, which all have the same context."""
    listed = alerts or (alert(),)
    known = context or AlertContext(
        episode=EPISODE,
        since=NOW - timedelta(minutes=2),
        value=0.5,
        unit="share",
        condition="requests.timeout_ratio > 0.05, window 5m",
    )
    return Message(
        id=id_,
        payload=message(
            "ops",
            Group({"alertname": "timeouts"}),
            listed,
            external_url=external_url,
            max_alerts=max_alerts,
        ),
        sent_at=sent_at,
        decided_at=NOW,
        kind=kind,
        context={one["fingerprint"]: known.model_dump(mode="json") for one in listed},
    )
