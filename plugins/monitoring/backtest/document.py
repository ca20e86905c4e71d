"""What a backtest found, as JSON: states, transitions and episodes, sorted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from monitoring.backtest.comparison import Comparison
from monitoring.backtest.run import Episode, PolicyRun, episodes
from userdb.times import from_minute

Document = dict[str, list[dict[str, Any]]]


def comparison_document(comparisons: Iterable[Comparison]) -> list[dict[str, Any]]:
    """What each edited policy would have told, what the policy as it is would have, and the
    episodes that differ; None for what there is not."""
    return [
        {
            "policy": one.policy,
            "edited": asdict(one.edited),
            "current": None if one.current is None else asdict(one.current),
            "changes": [
                {
                    "labels": dict(change.labels),
                    "edited": _times(change.edited),
                    "current": _times(change.current),
                }
                for change in one.changes
            ],
        }
        for one in comparisons
    ]


def _times(episode: Episode | None) -> dict[str, str | None] | None:
    if episode is None:
        return None
    return {name: time_text(minute) for name, minute in asdict(episode).items()}


def backtest_document(runs: Mapping[str, PolicyRun]) -> Document:
    """States by policy and labels; transitions by time, policy, labels; episodes by policy, labels
    and begin. Times are RFC 3339; a value or a time that there is not is None."""
    states: list[dict[str, Any]] = []
    transitions: list[tuple[int, dict[str, Any]]] = []
    found: list[dict[str, Any]] = []
    for name in sorted(runs):
        run = runs[name]
        for labels, number, own in run.by_series():
            series = {"policy": name, "labels": labels}
            states.append({**series, "states": run.states(number, own)})
            transitions += [
                (
                    one.at,
                    {
                        **series,
                        "at": time_text(one.at),
                        "from": one.from_state,
                        "to": one.to_state,
                        "value": _value(one.value),
                    },
                )
                for one in own
            ]
            found += [{**series, **(_times(one) or {})} for one in episodes(own)]
    transitions.sort(key=lambda one: one[0])
    return {
        "states": states,
        "transitions": [one for _, one in transitions],
        "episodes": found,
    }


def time_text(minute: int | None) -> str | None:
    """``2026-03-02T10:05:00Z``."""
    return None if minute is None else f"{from_minute(minute):%Y-%m-%dT%H:%M:%SZ}"


def _value(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else value
