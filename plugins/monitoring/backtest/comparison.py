"""An edited policy against the policy as it is: what each would have told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.backtest.notifications import notifications
from monitoring.backtest.run import Episode, PolicyRun, episodes


@dataclass(frozen=True)
class Summary:
    """What came of a policy.

    Attributes:
        episodes: those that fired.
        never_fired: those that ended, or still were, pending.
        pages: firing notifications.
        firing_minutes: of all series together, until the last evaluation.
    """

    episodes: int
    never_fired: int
    pages: int
    firing_minutes: int


@dataclass(frozen=True)
class Change:
    """An episode that fired for one of them alone, or for both at other times."""

    labels: Mapping[str, str]
    edited: Episode | None
    current: Episode | None


@dataclass(frozen=True)
class Comparison:
    """An edited policy and the one of its name as it is; None where there is none."""

    policy: str
    edited: Summary
    current: Summary | None
    changes: tuple[Change, ...]


def compare(edited: PolicyRun, current: PolicyRun | None) -> Comparison:
    """What the edit changes, series by series; changes are by labels and time.

    Episodes of the two belong together where both fire at the same time; one that overlaps two
    goes with the first.
    """
    after = _fired(edited)
    before = {} if current is None else _fired(current)
    changes: list[Change] = []
    if current is not None:
        for labels in sorted({*after, *before}):
            for new, old in _paired(after.get(labels, []), before.get(labels, [])):
                if new != old:
                    changes.append(Change(dict(labels), new, old))
    return Comparison(
        edited.policy.name,
        summarise(edited),
        None if current is None else summarise(current),
        tuple(changes),
    )


def summarise(run: PolicyRun) -> Summary:
    """Count a policy's episodes, pages and minutes."""
    every = [one for _, _, own in run.by_series() for one in episodes(own)]
    fired = [one for one in every if one.fired_at is not None]
    end = int(run.times[-1])
    return Summary(
        episodes=len(fired),
        never_fired=len(every) - len(fired),
        pages=sum(one.status == "firing" for one in notifications(run)),
        firing_minutes=sum(_stop(one, end) - _start(one) for one in fired),
    )


LabelSet = tuple[tuple[str, str], ...]


def _fired(run: PolicyRun) -> dict[LabelSet, list[Episode]]:
    return {
        tuple(sorted(labels.items())): fired
        for labels, _, own in run.by_series()
        if (fired := [one for one in episodes(own) if one.fired_at is not None])
    }


def _paired(after: list[Episode], before: list[Episode]) -> list[tuple[Episode | None, ...]]:
    """Pairs of one series' episodes, both by time; None where there is no counterpart."""
    end = max(max(_start(one), one.resolved_at or 0) for one in (*after, *before)) + 1
    pairs: list[tuple[Episode | None, ...]] = []
    new, old = 0, 0
    while new < len(after) or old < len(before):
        one = after[new] if new < len(after) else None
        other = before[old] if old < len(before) else None
        if other is None or (one is not None and _stop(one, end) <= _start(other)):
            pairs.append((one, None))
            new += 1
        elif one is None or _stop(other, end) <= _start(one):
            pairs.append((None, other))
            old += 1
        else:
            pairs.append((one, other))
            new, old = new + 1, old + 1
    return pairs


def _start(one: Episode) -> int:
    assert one.fired_at is not None
    return one.fired_at


def _stop(one: Episode, end: int) -> int:
    return end if one.resolved_at is None else one.resolved_at
