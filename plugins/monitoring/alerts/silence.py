"""A silence: alerts that nobody is told of for a time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from monitoring.alerts.matchers import Matcher, match_all
from monitoring.alerts.time_intervals import TimeInterval

State = Literal["pending", "active", "waiting", "expired"]


@dataclass(frozen=True)
class Silence:
    """Alerts that match all of ``matchers`` are not told of while it holds.

    Attributes:
        ends_at: exclusive; None: until it is expired.
        recurrence: it holds only at these times: a maintenance window.
        expired_at: when somebody ended it early.
    """

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime | None
    author: str
    comment: str
    created_at: datetime
    recurrence: TimeInterval | None = None
    expired_at: datetime | None = None
    expired_by: str | None = None

    @property
    def over_at(self) -> datetime | None:
        """From when on it never holds again."""
        return min((one for one in (self.ends_at, self.expired_at) if one), default=None)

    def holds(self, at: datetime) -> bool:
        if at < self.starts_at or (self.over_at is not None and at >= self.over_at):
            return False
        return self.recurrence is None or self.recurrence.holds(at)

    def silences(self, labels: Mapping[str, str], at: datetime) -> bool:
        """Whether it keeps an alert with ``labels`` quiet at ``at``."""
        return self.holds(at) and match_all(self.matchers, labels)

    def state(self, at: datetime) -> State:
        """Whether it holds; ``waiting`` is between two times of a recurrence."""
        if self.over_at is not None and at >= self.over_at:
            return "expired"
        if at < self.starts_at:
            return "pending"
        return "active" if self.holds(at) else "waiting"
