"""What a receiver of a policy's alerts would have been told, one message an alert. Pure.

Without grouping, silences and inhibition: these are the receivers' side. A flapping alert is told
once: firing, and resolved when it has calmed down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from monitoring.backtest.run import PolicyRun


@dataclass(frozen=True)
class Notification:
    """A message; ``at`` in minutes, ``labels`` the series' own."""

    at: int
    labels: Mapping[str, str]
    status: Literal["firing", "resolved"]


def notifications(run: PolicyRun) -> list[Notification]:
    """The messages about all series of a policy, in order of time."""
    found: list[Notification] = []
    marks: dict[int, dict[int, bool]] = {}
    for mark in run.marks:
        marks.setdefault(mark.series, {})[mark.at] = mark.reason == "flapping"
    for labels, number, transitions in run.by_series():
        flaps = marks.get(number, {})
        states = {one.at: one.to_state == "firing" for one in transitions}
        fires = told = flapping = False
        for at in sorted({*flaps, *states}):
            fires, flapping = states.get(at, fires), flaps.get(at, flapping)
            if fires and not told:
                found.append(Notification(at, labels, "firing"))
                told = True
            elif told and not fires and not flapping:
                found.append(Notification(at, labels, "resolved"))
                told = False
    return sorted(found, key=lambda one: one.at)
