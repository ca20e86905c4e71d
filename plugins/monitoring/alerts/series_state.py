"""What must be remembered of series between two evaluations, and its form in checkpoints. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class SeriesState:
    """What must be remembered of a series between two evaluations.

    Attributes:
        active: evaluation time at which its episode began, minutes; None while it is inactive.
        firing: whether it fires; else it is pending.
        elapsed: known minutes since it became active, while pending.
        clear: known minutes since the first clear evaluation, while it is kept firing.
        cooling: known minutes during which no episode begins.
        overruled: an operator resolved it: breaches don't count before it was clear once.
        changes: known evaluations since each of its changes (firing, resolved) that still count
            for flapping, oldest first.
        flapping: begin of the episode in which it started to flap; None while it does not.
        undone: its state without operators' acts, where that is another one.
    """

    active: int | None = None
    firing: bool = False
    elapsed: int = 0
    clear: int | None = None
    cooling: int = 0
    overruled: bool = False
    changes: tuple[int, ...] = ()
    flapping: int | None = None
    undone: SeriesState | None = None

    def as_json(self) -> dict[str, Any]:
        """Its fields that aren't at their defaults."""
        found = {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if getattr(self, one.name) != one.default
        }
        if self.changes:
            found["changes"] = list(self.changes)
        if self.undone is not None:
            found["undone"] = self.undone.as_json()
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SeriesState:
        found = dict(data)
        found["changes"] = tuple(found.get("changes", ()))
        if found.get("undone") is not None:
            found["undone"] = cls.from_json(found["undone"])
        return cls(**found)


#: Series without a state: inactive, and nothing to remember.
IDLE = SeriesState()

#: States by series id; those that are not in it are idle.
FoldState = Mapping[int, SeriesState]


def load_state(data: Mapping[str, Any]) -> dict[int, SeriesState]:
    return {int(series): SeriesState.from_json(state) for series, state in data.items()}


def dump_state(states: FoldState) -> dict[str, Any]:
    """As JSON; what ``load_state`` reads back."""
    return {str(series): states[series].as_json() for series in sorted(states)}


def without_acts(states: FoldState) -> dict[int, SeriesState]:
    """The states as if no operator had done anything."""
    found = {series: state.undone or state for series, state in states.items()}
    return {series: state for series, state in found.items() if state != IDLE}
