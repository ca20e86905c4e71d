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
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from monitoring.alerts.flapping import Change, Flap, flapping_marks
from monitoring.policy.definition import Policy
from monitoring.scoring.classes import EvaluationClass, Interval

State = Literal["inactive", "pending", "firing", "resolved"]
#: The order in which an episode's transitions of one time come, by the state that they leave:
#: with ``for: 0`` it is pending and firing at once.
STATE_ORDER = {"inactive": 0, "pending": 1, "firing": 2, "resolved": 3}


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
_IDLE = SeriesState()

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
    return {series: state for series, state in found.items() if state != _IDLE}


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


def fold(
    policy: Policy,
    states: FoldState,
    intervals: Sequence[Interval],
    unknown: Sequence[tuple[int, int]],
    after: int,
    until: int,
    resolved_by_hand: Mapping[int, Sequence[int]] | None = None,
) -> tuple[dict[int, SeriesState], list[Transition]]:
    """Carry states over the evaluation times in (after, until].

    Args:
        states: at ``after``.
        intervals: the policy's evidence, clipped to the range. UNKNOWN ones of a series concern
            that one; those of series 0 are ignored.
        unknown: spans of evaluation times, first to last, that are unknown or were not evaluated.
        resolved_by_hand: series to the evaluation times, ascending, at which operators ended
            their episodes: the first ones at or after they did so.

    Returns:
        The states at ``until``, and the transitions in order of time, series.
    """
    acts = resolved_by_hand or {}
    evidence: dict[int, list[Interval]] = {}
    for part in intervals:
        if part.series:
            evidence.setdefault(part.series, []).append(part)
    end: dict[int, SeriesState] = {}
    transitions: list[Transition] = []
    for series in sorted({*evidence, *states, *acts}):
        state = states.get(series, _IDLE)
        segments = list(_segments(evidence.get(series, ()), unknown, after, until, policy.interval))
        walk = _Walk(policy, series, replace(state, undone=None))
        final = walk.over(segments, acts.get(series, ()))
        if acts.get(series) or state.undone is not None:
            begin = state.undone or replace(state, undone=None)
            undone = _Walk(policy, series, begin).over(segments, ())
            if undone != final:
                final = replace(final, undone=undone)
        transitions += walk.transitions
        if final != _IDLE:
            end[series] = final
    transitions.sort(key=lambda one: (one.at, one.series))
    return end, transitions


def end_all(states: FoldState, at: int, reason: str) -> list[Transition]:
    """End every active series at evaluation time ``at``: the policy was changed or removed.

    What flaps is over too.
    """
    found = []
    for series in sorted(states):
        state = states[series]
        if state.active is not None:
            found.append(_ending(series, state, at, None, reason))
        if state.flapping is not None:
            found.append(
                Transition(at, series, state.flapping, "resolved", "resolved", None, "calm")
            )
    return found


def _ending(
    series: int, state: SeriesState, at: int, value: float | None, reason: str
) -> Transition:
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


@dataclass(frozen=True)
class _Segment:
    """``count`` known evaluations of one class, beginning at ``first``."""

    first: int
    count: int
    evaluation_class: EvaluationClass
    values: Any

    def split(self, at: int, interval: int) -> tuple[_Segment, _Segment]:
        """The evaluations before the time ``at``, and the others; both have some."""
        index = -(-(at - self.first) // interval)
        return (
            replace(self, count=index, values=self.values[:index]),
            replace(
                self,
                first=self.first + index * interval,
                count=self.count - index,
                values=self.values[index:],
            ),
        )


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
    at = after - after % interval + interval
    last = until - until % interval
    for part in sorted(parts, key=lambda one: one.first):
        yield from _clear(at, part.first - interval, unknown, interval)
        if part.evaluation_class is not EvaluationClass.UNKNOWN:
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

    def __init__(self, policy: Policy, series: int, state: SeriesState) -> None:
        self.policy = policy
        self.series = series
        self.state = state
        self.transitions: list[Transition] = []
        self._known = 0  # evaluations in the segments before this one
        self._changes: list[Change] = []
        self._began_as = state

    def over(self, segments: Sequence[_Segment], acts: Sequence[int]) -> SeriesState:
        """Walk the segments, with an operator's resolution at each time of ``acts``."""
        times: list[tuple[int, int]] = []  # known evaluations before a segment, and its first
        due = list(acts)
        ahead = list(reversed(segments))
        while ahead:
            segment = ahead.pop()
            last = segment.first + (segment.count - 1) * self.policy.interval
            if due and due[0] <= segment.first:
                self._overrule(due.pop(0))
                ahead.append(segment)
                continue
            if due and due[0] <= last:
                segment, rest = segment.split(due[0], self.policy.interval)
                ahead.append(rest)
            times.append((self._known, segment.first))
            self._step(segment)
            self._known += segment.count
        for at in due:
            self._overrule(at)
        self._mark(times)
        return self.state

    # --- evaluations ------------------------------------------------------------------------------

    def _step(self, part: _Segment) -> None:
        kind, reason = self._effective(part.evaluation_class)
        if kind is EvaluationClass.BREACH:
            self._breach(part)
        elif kind is EvaluationClass.GONE:
            was_active = self.state.active is not None
            self._end(part, 0, None, reason)
            self._cool(part.count - was_active)
            self.state = replace(self.state, overruled=False)
        else:
            self._clear(part, reason)

    def _effective(self, kind: EvaluationClass) -> tuple[EvaluationClass, str]:
        """BREACH, CLEAR or GONE (which ends at once), and why."""
        state = self.state
        breaching = state.overruled or (state.active is not None and state.clear is None)
        if kind is EvaluationClass.BETWEEN:
            holds = breaching and state.firing
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
        if self.state.active is None:
            blocked = part.count if self.state.overruled else self._blocked()
            done = min(blocked, part.count)
            self._cool(done)
            if done == part.count:
                return
            active = part.first + done * step
            self.state = replace(self.state, active=active, firing=False, elapsed=0, cooling=0)
            self._record(part, done, "inactive", "pending")
            if after_for <= 0:
                self._fire(part, done)
                return
            done += 1
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
        self.state = replace(self.state, firing=True, elapsed=0, clear=None)
        self._record(part, index, "pending", "firing")
        self._changed(part, index)

    def _clear(self, part: _Segment, reason: str) -> None:
        if self.state.active is None:
            self._cool(part.count)
            self.state = replace(self.state, overruled=False)
            return
        if not self.state.firing:
            self._end(part, 0, self._value(part, 0), reason)
            return
        step, keep = self.policy.interval, self.policy.keep_minutes
        # clear minutes at the k-th evaluation of the segment, k from 0
        at_first = 0 if self.state.clear is None else self.state.clear + step
        needed = max(-(-(keep - at_first) // step), 0)
        if needed < part.count:
            self._end(part, needed, self._value(part, needed), reason)
            self._cool(part.count - needed - 1)
        else:
            self.state = replace(self.state, clear=at_first + (part.count - 1) * step)

    def _overrule(self, at: int) -> None:
        """An operator ends the episode: the evaluation at ``at`` is the first that knows of it."""
        if self.state.active is None:
            return
        self.transitions.append(_ending(self.series, self.state, at, None, "resolved by hand"))
        if self.state.firing:
            self._changes.append(Change(self._known, at, self.state.active, "resolved"))
        self._idle(overruled=True)

    # --- consequences -----------------------------------------------------------------------------

    def _end(self, part: _Segment, index: int, value: float | None, reason: str) -> None:
        if self.state.active is None:
            return
        at = part.first + index * self.policy.interval
        self.transitions.append(_ending(self.series, self.state, at, value, reason))
        if self.state.firing:
            self._changed(part, index)
        self._idle(overruled=False)

    def _idle(self, *, overruled: bool) -> None:
        cooling = self.policy.cooldown_minutes if self.state.firing else 0
        self.state = SeriesState(
            cooling=cooling,
            overruled=overruled,
            changes=self.state.changes,
            flapping=self.state.flapping,
        )

    def _blocked(self) -> int:
        """How many of the next evaluations may open no episode."""
        return max(-(-self.state.cooling // self.policy.interval) - 1, 0)

    def _cool(self, evaluations: int) -> None:
        left = max(self.state.cooling - evaluations * self.policy.interval, 0)
        self.state = replace(self.state, cooling=left)

    def _changed(self, part: _Segment, index: int) -> None:
        assert self.state.active is not None
        at = part.first + index * self.policy.interval
        to_state = self.transitions[-1].to_state
        self._changes.append(Change(self._known + index + 1, at, self.state.active, to_state))

    def _mark(self, times: Sequence[tuple[int, int]]) -> None:
        """Say where the series began to flap, or stopped, and what of it is to be remembered."""
        if self.policy.flapping is None:
            return
        marks, changes, flapping = flapping_marks(
            self.policy.flapping,
            self._began_as.changes,
            Flap.of(self._began_as.flapping, self._began_as.active),
            self._changes,
            self._known,
        )
        for mark in marks:
            at = mark.at
            if at is None:  # calm: at an evaluation without a change
                known, first = max(one for one in times if one[0] < mark.known)
                at = first + (mark.known - known - 1) * self.policy.interval
            self.transitions.append(
                Transition(at, self.series, mark.active, mark.state, mark.state, None, mark.reason)
            )
        self.transitions.sort(key=lambda one: one.at)
        self.state = replace(self.state, changes=changes, flapping=flapping)

    def _record(self, part: _Segment, index: int, old: State, new: State) -> None:
        assert self.state.active is not None
        at = part.first + index * self.policy.interval
        value = self._value(part, index)
        self.transitions.append(
            Transition(at, self.series, self.state.active, old, new, value, "condition")
        )

    @staticmethod
    def _value(part: _Segment, index: int) -> float | None:
        return float(part.values[index]) if len(part.values) else None
