"""One series on its way through its evaluations, by the rules that ``state`` names. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from monitoring.alerts.flapping import Change, Flap, flapping_marks
from monitoring.alerts.segments import Segment
from monitoring.alerts.series_state import SeriesState
from monitoring.alerts.transition import State, Transition, ending
from monitoring.policy.definition import Policy
from monitoring.scoring.classes import EvaluationClass


class Walk:
    """One series on its way through its segments."""

    def __init__(self, policy: Policy, series: int, state: SeriesState) -> None:
        self.policy = policy
        self.series = series
        self.state = state
        self.transitions: list[Transition] = []
        self._known = 0  # evaluations in the segments before this one
        self._changes: list[Change] = []
        self._began_as = state

    def over(self, segments: Sequence[Segment], acts: Sequence[int]) -> SeriesState:
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

    def _step(self, part: Segment) -> None:
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

    def _breach(self, part: Segment) -> None:
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

    def _fire(self, part: Segment, index: int) -> None:
        self.state = replace(self.state, firing=True, elapsed=0, clear=None)
        self._record(part, index, "pending", "firing")
        self._changed(part, index)

    def _clear(self, part: Segment, reason: str) -> None:
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
        self.transitions.append(ending(self.series, self.state, at, None, "resolved by hand"))
        if self.state.firing:
            self._changes.append(Change(self._known, at, self.state.active, "resolved"))
        self._idle(overruled=True)

    # --- consequences -----------------------------------------------------------------------------

    def _end(self, part: Segment, index: int, value: float | None, reason: str) -> None:
        if self.state.active is None:
            return
        at = part.first + index * self.policy.interval
        self.transitions.append(ending(self.series, self.state, at, value, reason))
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

    def _changed(self, part: Segment, index: int) -> None:
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

    def _record(self, part: Segment, index: int, old: State, new: State) -> None:
        assert self.state.active is not None
        at = part.first + index * self.policy.interval
        value = self._value(part, index)
        self.transitions.append(
            Transition(at, self.series, self.state.active, old, new, value, "condition")
        )

    @staticmethod
    def _value(part: Segment, index: int) -> float | None:
        return float(part.values[index]) if len(part.values) else None
