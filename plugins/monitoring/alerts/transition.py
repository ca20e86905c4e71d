"""Changes of an episode's state, and what names an episode. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from monitoring.alerts.series_state import SeriesState

State = Literal["inactive", "pending", "firing", "resolved"]
#: The order in which an episode's transitions of one time come, by the state that they leave:
#: with ``for: 0`` it is pending and firing at once.
STATE_ORDER = {"inactive": 0, "pending": 1, "firing": 2, "resolved": 3}


@dataclass(frozen=True, order=True)
class Transition:
    """A change of state at evaluation time ``at`` (minutes), of the episode begun at ``active``.

    Where ``from_state`` and ``to_state`` are equal it is a mark: from here on the series is
    flapping, or is not any more; ``reason`` says which.
    """

    at: int
    series: int
    active: int
    from_state: State
    to_state: State
    value: float | None
    reason: str

    @property
    def is_mark(self) -> bool:
        return self.from_state == self.to_state


def episode_id(policy: str, series_fingerprint: str, active: int) -> str:
    """32 hex digits: a function of policy, labels and start, so any order gives the same ids."""
    text = f"{policy}\n{series_fingerprint}\n{active}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def ending(
    series: int, state: SeriesState, at: int, value: float | None, reason: str
) -> Transition:
    """The end of the episode that is active, at evaluation time ``at``."""
    assert state.active is not None
    return Transition(
        at,
        series,
        state.active,
        "firing" if state.firing else "pending",
        "resolved" if state.firing else "inactive",
        value,
        reason,
    )
