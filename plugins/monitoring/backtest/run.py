"""Policies run over facts: scored and folded as by the chain, with nothing stored. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from monitoring.alerts.series_state import FoldState
from monitoring.alerts.state import fold
from monitoring.alerts.transition import Transition
from monitoring.policy.composite import CompositePolicy
from monitoring.policy.definition import Policy
from monitoring.policy.signal_policy import SeriesPolicy
from monitoring.scoring.classes import (
    DAY,
    EvaluationClass,
    Interval,
    Scores,
    intervals,
    runs,
)
from monitoring.scoring.composite import score_composite
from monitoring.scoring.facts import Facts, Selection
from monitoring.scoring.firing import Firing, Group, Span, within
from monitoring.scoring.registry import score

_LETTERS = {"inactive": ".", "pending": "P", "firing": "F", "resolved": "."}


@dataclass(frozen=True)
class Grid:
    """The evaluation times start, start + every, … end, in minutes.

    ``every`` None: each policy's own evaluation_interval.
    """

    start: int
    end: int
    every: int | None = None

    def policy(self, policy: Policy) -> Policy:
        """``policy``, evaluated every ``every`` minutes."""
        if self.every is None:
            return policy
        interval = timedelta(minutes=self.every)
        return policy.model_copy(update={"evaluation_interval": interval})

    def times(self, policy: Policy) -> NDArray[np.int64]:
        """The evaluation times of a policy, ascending; (T,)."""
        return np.arange(self.start, self.end + 1, policy.interval, dtype=np.int64)


@dataclass(frozen=True)
class Episode:
    """One episode of a series; times in minutes, None for what has not happened by the end.

    One that never fired has ``resolved_at`` where it ended.
    """

    active_at: int
    fired_at: int | None
    resolved_at: int | None


@dataclass
class PolicyRun:
    """What became of a policy's series.

    Attributes:
        policy: with the interval at which it was evaluated.
        times: evaluation times, minutes, ascending; (T,).
        series: number of each series, from 1, by its group.
        transitions: in order of time.
        marks: where series began to flap or stopped, in order of time.
        unknown: spans of minutes in which no series is known, unless ``known`` says otherwise.
        own_unknown: series to the spans in which it alone is unknown.
        known: series to the spans within ``unknown`` in which it is known.
    """

    policy: Policy
    times: NDArray[np.int64]
    series: dict[Group, int] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    marks: list[Transition] = field(default_factory=list)
    unknown: list[Span] = field(default_factory=list)
    own_unknown: dict[int, list[Span]] = field(default_factory=dict)
    known: dict[int, list[Span]] = field(default_factory=dict)

    def number(self, group: Group) -> int:
        """The series of ``group``; a new one gets the next number."""
        return self.series.setdefault(group, len(self.series) + 1)

    def labels(self, group: Group) -> dict[str, str]:
        """The labels of a series; those that it lacks are left out."""
        names = self.policy.group_labels
        return {name: value for name, value in zip(names, group, strict=True) if value}

    def by_series(self) -> Iterator[tuple[dict[str, str], int, list[Transition]]]:
        """Labels, number and transitions of every series, sorted by labels."""
        found: dict[int, list[Transition]] = {number: [] for number in self.series.values()}
        for one in self.transitions:
            found[one.series].append(one)
        named = [(self.labels(group), number) for group, number in self.series.items()]
        for labels, number in sorted(named, key=lambda one: sorted(one[0].items())):
            yield labels, number, found[number]

    def states(self, number: int, transitions: Iterable[Transition]) -> str:
        """One character an evaluation: . inactive, P pending, F firing, ? unknown.

        Args:
            number: of the series.
            transitions: its own, by time.
        """
        letters = np.full(len(self.times), ".")
        found = list(transitions)
        starts = np.searchsorted(self.times, [one.at for one in found]).tolist()
        for one, (low, high) in zip(found, pairwise([*starts, len(letters)]), strict=True):
            letters[low:high] = _LETTERS[one.to_state]
        blind = within(self.times, self.unknown)
        blind &= ~within(self.times, self.known.get(number, ()))
        blind |= within(self.times, self.own_unknown.get(number, ()))
        letters[blind] = "?"
        return "".join(letters)

    def firing(self) -> Firing:
        """When its series fire, as composites see it."""
        groups = {number: group for group, number in self.series.items()}
        until = int(self.times[-1]) + self.policy.interval if len(self.times) else 0
        spans: dict[Group, list[Span]] = {}
        for _, number, transitions in self.by_series():
            for one in episodes(transitions):
                if one.fired_at is not None:
                    end = until if one.resolved_at is None else one.resolved_at
                    spans.setdefault(groups[number], []).append((one.fired_at, end))
        own = {groups[number]: spans for number, spans in self.own_unknown.items()}
        return Firing(self.policy.group_labels, spans, self.unknown, own)


def episodes(transitions: Iterable[Transition]) -> list[Episode]:
    """The episodes that the transitions of one series, by time, make."""
    found: list[Episode] = []
    for one in transitions:
        if one.to_state == "pending":
            found.append(Episode(one.at, None, None))
        elif one.to_state == "firing":
            found[-1] = replace(found[-1], fired_at=one.at)
        else:
            found[-1] = replace(found[-1], resolved_at=one.at)
    return found


def run_policies(
    policies: Iterable[Policy],
    facts: Facts,
    grid: Grid,
    every_group: Callable[[Selection], Collection[Group]] = lambda _: (),
) -> dict[str, PolicyRun]:
    """Run policies from an empty state at the grid's start; by name.

    Args:
        policies: with every composite all policies that it combines.
        facts: those before the grid's start feed lookbacks only.
        every_group: the series to list besides those that scoring speaks of.
    """
    done: dict[str, PolicyRun] = {}
    waiting = {policy.name: policy for policy in policies}
    while waiting:
        ready = [one for one in waiting.values() if _operands(one) <= done.keys()]
        if not ready:
            raise ValueError(f"composites wait for policies that aren't there: {sorted(waiting)}")
        for policy in ready:
            del waiting[policy.name]
            done[policy.name] = _run(grid.policy(policy), facts, grid, every_group, done)
    return done


def _operands(policy: Policy) -> set[str]:
    return set(policy.operands) if isinstance(policy, CompositePolicy) else set()


def _run(
    policy: Policy,
    facts: Facts,
    grid: Grid,
    every_group: Callable[[Selection], Collection[Group]],
    done: Mapping[str, PolicyRun],
) -> PolicyRun:
    result = PolicyRun(policy, grid.times(policy))
    operands: dict[str, Firing] = {}
    if isinstance(policy, CompositePolicy):
        operands = {name: done[name].firing() for name in policy.operands}
        for group in _joined_groups(policy, [done[name] for name in policy.operands]):
            result.number(group)
    elif isinstance(policy, SeriesPolicy):
        for group in sorted(every_group(Selection.of(policy))):
            result.number(group)
    states: FoldState = {}
    for times in _parts(result.times, policy):
        if isinstance(policy, CompositePolicy):
            scores = score_composite(policy, operands, times)
        else:
            scores = score(policy, facts, times)
        states = _fold(result, states, scores)
    return result


def _joined_groups(policy: CompositePolicy, operands: Sequence[PolicyRun]) -> set[Group]:
    return {
        tuple(one.labels(group).get(name, "") for name in policy.group_labels)
        for one in operands
        for group in one.series
    }


def _parts(times: NDArray[np.int64], policy: Policy) -> Iterator[NDArray[np.int64]]:
    """Split evaluation times: memory is that of a day's, or of a lookback if that is longer."""
    size = max(DAY, policy.lookback_minutes) // policy.interval or 1
    for low, high in pairwise([*range(0, len(times), size), len(times)]):
        yield times[low:high]


def _fold(result: PolicyRun, states: FoldState, scores: Scores) -> FoldState:
    """Carry states over the scored times, and note what came of it in ``result``."""
    numbers = [result.number(group) for group in scores.groups]
    evidence = intervals(scores, numbers)
    _note_unknown(result, scores, numbers)
    # the state machine's grid begins at 1970, this one anywhere
    shift = int(scores.times[0]) % scores.interval
    shifted = [replace(one, first=one.first - shift, last=one.last - shift) for one in evidence]
    states, transitions = fold(
        result.policy,
        states,
        shifted,
        [(one.first, one.last) for one in shifted if _is_for_all(one)],
        int(scores.times[0]) - shift - scores.interval,
        int(scores.times[-1]) - shift,
    )
    for one in transitions:
        moved = replace(one, at=one.at + shift, active=one.active + shift)
        (result.marks if one.is_mark else result.transitions).append(moved)
    return states


def _is_for_all(one: Interval) -> bool:
    return one.evaluation_class is EvaluationClass.UNKNOWN and not one.series


def _note_unknown(result: PolicyRun, scores: Scores, numbers: Sequence[int]) -> None:
    result.unknown += _spans(scores, scores.unknown)
    own = scores.classes == EvaluationClass.UNKNOWN
    silent = (scores.classes == EvaluationClass.CLEAR) | (scores.classes == EvaluationClass.GONE)
    known = scores.unknown[:, np.newaxis] & ~own & ~silent
    for noted, cells in ((result.own_unknown, own), (result.known, known)):
        for at in np.flatnonzero(cells.any(axis=0)).tolist():
            noted.setdefault(numbers[at], []).extend(_spans(scores, cells[:, at]))


def _spans(scores: Scores, marked: NDArray[np.bool_]) -> list[Span]:
    """Spans of the times that are marked: each evaluation rules until the next one."""
    return [
        (int(scores.times[start]), int(scores.times[stop - 1]) + scores.interval)
        for start, stop, _ in runs(marked.astype(np.int8))
    ]
