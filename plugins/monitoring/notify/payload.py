"""Alertmanager's webhook payload, version 4.

An alert's ``startsAt`` is when it began to fire (Prometheus sends FiredAt, not ActiveAt);
``endsAt`` is ``0001-01-01T00:00:00Z`` while it fires. Its fingerprint is Prometheus' own hash of
the label set, so the same alert has the same fingerprint behind an Alertmanager. All times are
event time in UTC.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypedDict

Status = Literal["firing", "resolved"]
Labels = Mapping[str, str]

VERSION = "4"
ZERO_TIME = "0001-01-01T00:00:00Z"
RETRACTED = "retracted"
_RETRACTED_TEXT = "data that came late showed that this alert never was"
_GROUP_KEY_LENGTH = 255


class AlertPayload(TypedDict):
    """One alert, as a receiver gets it."""

    status: Status
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: str
    endsAt: str
    generatorURL: str
    fingerprint: str


class Payload(TypedDict):
    """One message, as a receiver gets it."""

    version: str
    groupKey: str
    truncatedAlerts: int
    status: Status
    receiver: str
    groupLabels: dict[str, str]
    commonLabels: dict[str, str]
    commonAnnotations: dict[str, str]
    externalURL: str
    alerts: list[AlertPayload]


@dataclass(frozen=True)
class Group:
    """Alerts that a receiver is told in one message: those of a route that agree in ``labels``."""

    labels: Mapping[str, str]
    #: of the route
    route: str = "{}"

    @property
    def key(self) -> str:
        """As Alertmanager writes it: ``{}/{severity="critical"}:{alertname="X"}``."""
        inner = ", ".join(
            f"{name}={json.dumps(value, ensure_ascii=False)}"
            for name, value in sorted(self.labels.items())
        )
        return f"{self.route}:{{{inner}}}"

    @property
    def stored_key(self) -> str:
        """The key, shortened to what userdb's column holds."""
        if len(self.key) <= _GROUP_KEY_LENGTH:
            return self.key
        mark = hashlib.sha256(self.key.encode()).hexdigest()[:32]
        return f"{self.key[: _GROUP_KEY_LENGTH - 33]}…{mark}"


def fingerprint(labels: Labels) -> str:
    """16 hex digits: FNV-1a (64 bits) over sorted names and values, as Prometheus computes it.

    Each name and each value is followed by a byte 255
    (github.com/prometheus/common, model/signature.go, labelSetToFingerprint).
    """
    mark = 14695981039346656037
    for name in sorted(labels):
        for text in (name, labels[name]):
            for byte in (*text.encode(), 255):
                mark = ((mark ^ byte) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return f"{mark:016x}"


def format_time(at: datetime) -> str:
    """RFC 3339 in UTC, with ``Z``."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """What ``format_time`` wrote."""
    return datetime.fromisoformat(text)


def alert_link(external_url: str, episode: str) -> str:
    """The address of an alert's page; empty where the web server's isn't known."""
    return f"{external_url}/monitoring/alerts/{episode}/history" if external_url else ""


def firing_alert(
    labels: Labels, annotations: Mapping[str, str], fired_at: datetime, generator_url: str
) -> AlertPayload:
    """An alert that fires."""
    return {
        "status": "firing",
        "labels": dict(sorted(labels.items())),
        "annotations": dict(annotations),
        "startsAt": format_time(fired_at),
        "endsAt": ZERO_TIME,
        "generatorURL": generator_url,
        "fingerprint": fingerprint(labels),
    }


def resolved_alert(
    alert: AlertPayload, ended_at: datetime, *, retracted: bool = False
) -> AlertPayload:
    """The end of an alert that was told firing, from what was told.

    It keeps the start that the receiver knows. A retracted one says so in its annotations.
    """
    ended: AlertPayload = {
        **alert,
        "status": "resolved",
        "endsAt": format_time(max(ended_at, parse_time(alert["startsAt"]))),
    }
    if retracted:
        ended["annotations"] = {**alert["annotations"], RETRACTED: _RETRACTED_TEXT}
    return ended


def message(
    receiver: str,
    group: Group,
    alerts: Sequence[AlertPayload],
    *,
    external_url: str,
    max_alerts: int = 0,
) -> Payload:
    """A message about ``alerts``; the first ``max_alerts`` of them (0: all) are in it.

    It is firing while any alert of the group is, one that was cut off too. What is common is
    computed from those in it, as Alertmanager does.
    """
    shown = list(alerts[:max_alerts] if max_alerts else alerts)
    return {
        "version": VERSION,
        "groupKey": group.key,
        "truncatedAlerts": len(alerts) - len(shown),
        "status": "firing" if any(one["status"] == "firing" for one in alerts) else "resolved",
        "receiver": receiver,
        "groupLabels": dict(group.labels),
        "commonLabels": _common([one["labels"] for one in shown]),
        "commonAnnotations": _common([one["annotations"] for one in shown]),
        "externalURL": external_url,
        "alerts": shown,
    }


def _common(sets: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *others = sets
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }
