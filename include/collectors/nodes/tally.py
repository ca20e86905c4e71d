"""What became of the items of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from monitoring.duration import format_duration

#: So far may a node's clock be ahead of ours.
MAX_AHEAD = timedelta(minutes=5)
#: Raw rows know a repetition by what is stored, and retention keeps that for a day at least.
RAW_MAX_AGE = timedelta(days=1)
#: Counts and samples are told apart by their minute.
MAX_AGE = timedelta(days=30)

Outcome = Literal["stored", "repeated", "rejected"]


@dataclass(frozen=True)
class Refusal:
    """Why an item was rejected: its place in the batch, its id, and the field that is wrong."""

    index: int
    id: str | None
    field: str
    message: str


@dataclass
class Tally:
    """The outcome of each item of a batch, in the batch's order."""

    outcomes: list[Outcome] = field(default_factory=list)
    rejected: list[Refusal] = field(default_factory=list)

    @classmethod
    def of(cls, size: int) -> Tally:
        """For ``size`` items, which count as stored until said otherwise."""
        return cls(["stored"] * size)

    def repeat(self, index: int) -> None:
        self.outcomes[index] = "repeated"

    def reject(self, index: int, mark: str | None, name: str, message: str) -> None:
        self.outcomes[index] = "rejected"
        self.rejected.append(Refusal(index, mark, name, message))
        self.rejected.sort(key=lambda one: one.index)

    def count(self, outcome: Outcome) -> int:
        return self.outcomes.count(outcome)


def refused_time(
    at: datetime, *, now: datetime, max_age: timedelta, floor: datetime | None
) -> str | None:
    """Why nothing of the time ``at`` is taken, or None. ``floor``: what is before was purged."""
    if at > now + MAX_AHEAD:
        ahead = format_duration(MAX_AHEAD)
        return f"{at.isoformat()} is more than {ahead} after now; correct the clock"
    if at < now - max_age:
        return f"{at.isoformat()} is more than {format_duration(max_age)} ago"
    if floor is not None and at < floor:
        return f"{at.isoformat()} is from before {floor.isoformat()}, up to which userdb was purged"
    return None
