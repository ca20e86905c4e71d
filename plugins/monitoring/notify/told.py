"""What a receiver was last told of one alert. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from monitoring.notify.episode import Episode, Reference
from monitoring.notify.payload import (
    RETRACTED,
    AlertPayload,
    Status,
    alert_link,
    firing_alert,
    format_time,
    parse_time,
    resolved_alert,
)


@dataclass(frozen=True)
class Told:
    """``alert`` is the payload last sent; ``at`` is when it was decided to tell that it fires."""

    status: Status
    episode: str
    alert: AlertPayload
    at: datetime

    @classmethod
    def firing(
        cls,
        episode: Episode,
        at: datetime,
        external_url: str,
        besides: Mapping[str, str] = MappingProxyType({}),
    ) -> Told:
        """That ``episode`` fires; ``besides`` are more annotations."""
        link = alert_link(external_url, episode.id)
        annotations = {**episode.annotations, **besides}
        alert = firing_alert(episode.labels, annotations, episode.fired_at, link)
        return cls("firing", episode.id, alert, at)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Told:
        return cls(data["status"], data["episode"], data["alert"], parse_time(data["at"]))

    def as_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "episode": self.episode,
            "alert": self.alert,
            "at": format_time(self.at),
        }

    @property
    def policy(self) -> str:
        return self.alert["labels"]["alertname"]

    @property
    def reference(self) -> Reference:
        return Reference(self.episode, self.policy, parse_time(self.alert["startsAt"]))

    @property
    def over_at(self) -> datetime:
        """Event time at which what was told was over; a retracted alert never went on."""
        ended = RETRACTED not in self.alert["annotations"]
        return parse_time(self.alert["endsAt" if ended else "startsAt"])

    def precedes(self, episode: Episode) -> bool:
        """Whether what was told was over when ``episode``, another one, began."""
        if self.status == "firing" or self.episode == episode.id:
            return False
        return episode.fired_at >= self.over_at

    def resolved(self, at: datetime, *, retracted: bool = False) -> Told:
        alert = resolved_alert(self.alert, at, retracted=retracted)
        return replace(self, status="resolved", alert=alert)


def payloads_of(told: Iterable[Told]) -> tuple[AlertPayload, ...]:
    """As a message lists them: what fires first, then by time."""
    alerts = [one.alert for one in told]
    return tuple(
        sorted(alerts, key=lambda one: (one["status"], one["startsAt"], one["fingerprint"]))
    )
