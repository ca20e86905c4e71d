"""The state machine of alerts: from classes, in event time, to transitions. Pure.

An inactive series becomes pending at its first breach (time ``a``) and firing at the first
evaluation ``t`` with ``t - a >= for``; with ``for: 0`` both are at ``a``. A pending series that is
clear is inactive again. A firing one is over at the first clear evaluation ``t`` with
``t - first_clear >= keep_firing_for``; a breach before that continues the episode. These are
Prometheus' rules for ``for`` and ``keep_firing_for``.

Unknown evaluations change nothing and no clock counts them: clocks count known evaluations.

A series is walked interval by interval, not evaluation by evaluation, so the cost of a quiet
month is that of its few intervals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from monitoring.policy.definition import Policy
from monitoring.scoring.classes import EvaluationClass, Interval

State = Literal["inactive", "pending", "firing", "resolved"]


@dataclass(frozen=True)
class SeriesState:
    """An active series between two evaluations.

    Attributes:
        active: evaluation time at which the episode began, minutes.
        firing: whether it fires; else it is pending.
        elapsed: known minutes since it became active, while pending.
        clear: known minutes since the first clear evaluation, while it is kept firing.
    """

    active: int
    firing: bool
    elapsed: int = 0
    clear: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "active": self.active,
            "firing": self.firing,
            "elapsed": self.elapsed,
            "clear": self.clear,
        }


#: Active series by id. Series that are not in it are inactive.
FoldState = Mapping[int, SeriesState]


def load_state(data: Mapping[str, Any]) -> dict[int, SeriesState]:
    return {int(series): SeriesState(**state) for series, state in data.items()}


def dump_state(states: FoldState) -> dict[str, Any]:
    return {str(series): states[series].as_json() for series in sorted(states)}


@dataclass(frozen=True, order=True)
class Transition:
    """A change of state at evaluation time ``at`` (minutes), of the episode begun at ``active``."""

    at: int
    series: int
    active: int
    from_state: State
    to_state: State
    value: float | None
    reason: str


def episode_id(policy: str, series_fingerprint: str, active: int) -> str:
    """32 hex digits: a function of policy, labels and start, so any order gives the same ids."""
    text = f"{policy}\n{series_fingerprint}\n{active}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fold(
    policy: Policy,
    states: FoldState,
    intervals: Sequence[Interval],
    unknown: Sequence[tuple[int, int]],
    after: int,
    until: int,
) -> tuple[dict[int, SeriesState], list[Transition]]:
    """Carry states over the evaluation times in (after, until].

    Args:
        states: at ``after``.
        intervals: the policy's evidence, clipped to the range; UNKNOWN ones are ignored.
        unknown: spans of evaluation times, first to last, that are unknown or were not evaluated.

    Returns:
        The states at ``until``, and the transitions in order of time, series.
    """
    evidence: dict[int, list[Interval]] = {}
    for part in intervals:
        if part.evaluation_class is not EvaluationClass.UNKNOWN:
            evidence.setdefault(part.series, []).append(part)
    end: dict[int, SeriesState] = {}
    transitions: list[Transition] = []
    for series in sorted(set(evidence) | set(states)):
        walk = _Walk(policy, series, states.get(series))
        own = evidence.get(series, ())
        for segment in _segments(own, unknown, after, until, policy.interval):
            walk.step(segment)
        transitions += walk.transitions
        if walk.state is not None:
            end[series] = walk.state
    transitions.sort(key=lambda one: (one.at, one.series))
    return end, transitions


def end_all(states: FoldState, at: int, reason: str) -> list[Transition]:
    """End every active series at evaluation time ``at``: the policy was changed or removed."""
    return [_ending(series, states[series], at, None, reason) for series in sorted(states)]


def _ending(
    series: int, state: SeriesState, at: int, value: float | None, reason: str
) -> Transition:
    return Transition(
        at,
        series,
        state.active,
        "firing" if state.firing else "pending",
        "resolved" if state.firing else "inactive",
        value,
        reason,
    )


@dataclass(frozen=True)
class _Segment:
    """``count`` known evaluations of one class, beginning at ``first``."""

    first: int
    count: int
    evaluation_class: EvaluationClass
    values: Any


def _segments(
    parts: Iterable[Interval],
    unknown: Sequence[tuple[int, int]],
    after: int,
    until: int,
    interval: int,
) -> Iterator[_Segment]:
    """The known evaluations in (after, until] in order: evidence, and clear between it.

    GONE stands even where the evaluation is unknown; everything else there is left out.
    """
    first = after - after % interval + interval
    last = until - until % interval
    at = first
    for part in sorted(parts, key=lambda one: one.first):
        yield from _clear(at, part.first - interval, unknown, interval)
        count = (part.last - part.first) // interval + 1
        yield _Segment(part.first, count, part.evaluation_class, part.values)
        at = part.last + interval
    yield from _clear(at, last, unknown, interval)


def _clear(
    first: int, last: int, unknown: Sequence[tuple[int, int]], interval: int
) -> Iterator[_Segment]:
    at = first
    for low, high in unknown:
        if high < at:
            continue
        if low > last:
            break
        if low > at:
            yield _Segment(at, (low - at) // interval, EvaluationClass.CLEAR, ())
        at = high + interval
    if at <= last:
        yield _Segment(at, (last - at) // interval + 1, EvaluationClass.CLEAR, ())


class _Walk:
    """One series on its way through its segments."""

    def __init__(self, policy: Policy, series: int, state: SeriesState | None) -> None:
        self.policy = policy
        self.series = series
        self.state = state
        self.transitions: list[Transition] = []

    def step(self, part: _Segment) -> None:
        kind, reason = self._effective(part.evaluation_class)
        if kind is EvaluationClass.BREACH:
            self._breach(part)
        elif kind is EvaluationClass.GONE:
            self._end(part.first, None, reason)
        else:
            self._clear(part, reason)

    def _effective(self, kind: EvaluationClass) -> tuple[EvaluationClass, str]:
        """BREACH, CLEAR or GONE (which ends at once), and why."""
        state = self.state
        breaching = state is not None and state.clear is None
        if kind is EvaluationClass.BETWEEN:
            holds = breaching and state is not None and state.firing
            return (EvaluationClass.BREACH if holds else EvaluationClass.CLEAR), "recovered"
        if kind is EvaluationClass.MISSING:
            no_data = self.policy.missing_is
            if no_data == "alert" or (no_data == "hold" and breaching):
                return EvaluationClass.BREACH, "no data"
            if no_data == "resolve":
                return EvaluationClass.GONE, "no data"
            return EvaluationClass.CLEAR, "recovered"
        if kind is EvaluationClass.GONE:
            return kind, "series gone"
        return kind, "recovered"

    def _breach(self, part: _Segment) -> None:
        step, after_for = self.policy.interval, self.policy.for_minutes
        done = 0  # evaluations of the segment that are dealt with
        if self.state is None:
            self.state = SeriesState(active=part.first, firing=False)
            self._record(part.first, "inactive", "pending", self._value(part, 0))
            if after_for <= 0:
                self._fire(part, 0)
                return
            done = 1
        if self.state.firing:
            self.state = replace(self.state, clear=None)
            return
        # elapsed after the k-th further evaluation is elapsed + k * step
        needed = max(-(-(after_for - self.state.elapsed) // step), 1)
        left = part.count - done
        if needed <= left:
            self._fire(part, done + needed - 1)
        else:
            self.state = replace(self.state, elapsed=self.state.elapsed + left * step)

    def _fire(self, part: _Segment, index: int) -> None:
        assert self.state is not None
        self.state = SeriesState(active=self.state.active, firing=True)
        at = part.first + index * self.policy.interval
        self._record(at, "pending", "firing", self._value(part, index))

    def _clear(self, part: _Segment, reason: str) -> None:
        if self.state is None:
            return
        if not self.state.firing:
            self._end(part.first, self._value(part, 0), reason)
            return
        step, keep = self.policy.interval, self.policy.keep_minutes
        # clear minutes at the k-th evaluation of the segment, k from 0
        at_first = 0 if self.state.clear is None else self.state.clear + step
        needed = max(-(-(keep - at_first) // step), 0)
        if needed < part.count:
            self._end(part.first + needed * step, self._value(part, needed), reason)
        else:
            self.state = replace(self.state, clear=at_first + (part.count - 1) * step)

    def _end(self, at: int, value: float | None, reason: str) -> None:
        if self.state is not None:
            self.transitions.append(_ending(self.series, self.state, at, value, reason))
            self.state = None

    def _record(self, at: int, old: State, new: State, value: float | None) -> None:
        assert self.state is not None
        self.transitions.append(
            Transition(at, self.series, self.state.active, old, new, value, "condition")
        )

    @staticmethod
    def _value(part: _Segment, index: int) -> float | None:
        return float(part.values[index]) if len(part.values) else None
