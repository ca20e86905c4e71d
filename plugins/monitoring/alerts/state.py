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

from collections.abc import Mapping, Sequence
from dataclasses import replace

from monitoring.alerts.segments import segments
from monitoring.alerts.series_state import IDLE, FoldState, SeriesState
from monitoring.alerts.transition import Transition, ending
from monitoring.alerts.walk import Walk
from monitoring.policy.definition import Policy
from monitoring.scoring.classes import Interval


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
        state = states.get(series, IDLE)
        parts = list(segments(evidence.get(series, ()), unknown, after, until, policy.interval))
        walk = Walk(policy, series, replace(state, undone=None))
        final = walk.over(parts, acts.get(series, ()))
        if acts.get(series) or state.undone is not None:
            begin = state.undone or replace(state, undone=None)
            undone = Walk(policy, series, begin).over(parts, ())
            if undone != final:
                final = replace(final, undone=undone)
        transitions += walk.transitions
        if final != IDLE:
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
            found.append(ending(series, state, at, None, reason))
        if state.flapping is not None:
            found.append(
                Transition(at, series, state.flapping, "resolved", "resolved", None, "calm")
            )
    return found
