"""When a series flaps: it changed its state often of late. Pure.

The rule is Kibana's: flapping begins with the change that makes it ``changes`` within the last
``lookback`` evaluations, and ends when a whole look-back has passed without a change. Only known
evaluations are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from monitoring.policy.definition import Flapping

State = Literal["inactive", "pending", "firing", "resolved"]


@dataclass(frozen=True)
class Change:
    """A series fired or resolved.

    Attributes:
        known: number of the known evaluation, counted in the walk from 1.
        at: its time.
        active: begin of the episode.
        to_state: firing or resolved.
    """

    known: int
    at: int
    active: int
    to_state: State


@dataclass(frozen=True)
class Mark:
    """From the ``known``-th evaluation on the series flaps, or does not any more.

    It belongs to the episode begun at ``active``, the one in which flapping began, whose state is
    ``state``. ``at`` is None where it has to be counted from ``known``.
    """

    known: int
    at: int | None
    active: int
    state: State
    reason: Literal["flapping", "calm"]


@dataclass(frozen=True)
class Flap:
    """A series flaps: the episode in which that began, and its state by now."""

    active: int
    state: State

    @classmethod
    def of(cls, flapping: int | None, active: int | None) -> Flap | None:
        """From the begin of the episode in which flapping began, and of the one that is active."""
        if flapping is None:
            return None
        return cls(flapping, "firing" if flapping == active else "resolved")


def flapping_marks(
    rule: Flapping,
    ages: Sequence[int],
    flap: Flap | None,
    changes: Sequence[Change],
    known: int,
) -> tuple[list[Mark], tuple[int, ...], int | None]:
    """Walk the changes of ``known`` evaluations.

    Args:
        ages: known evaluations between each earlier change and the walk's begin, oldest first.
        flap: at the walk's begin; None where the series does not flap.
        changes: in order.

    Returns:
        Marks in order; ages at the walk's end; begin of the episode in which flapping began, None
        where the series does not flap at the walk's end.
    """
    recent = [-age for age in ages]
    marks: list[Mark] = []

    def calm_before(position: int) -> Flap | None:
        calm = recent[-1] + rule.lookback if recent else 0
        if flap is None or calm >= position:
            return flap
        marks.append(Mark(calm, None, flap.active, flap.state, "calm"))
        return None

    for change in changes:
        flap = calm_before(change.known)
        recent = [one for one in recent if one > change.known - rule.lookback]
        recent.append(change.known)
        if flap is not None and change.active == flap.active:
            flap = Flap(flap.active, change.to_state)
        if flap is None and len(recent) >= rule.changes:
            flap = Flap(change.active, change.to_state)
            marks.append(Mark(change.known, change.at, flap.active, flap.state, "flapping"))
    flap = calm_before(known + 1)
    left = tuple(known - one for one in recent if one > known - rule.lookback)
    return marks, left, None if flap is None else flap.active
