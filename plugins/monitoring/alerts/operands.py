"""Composites: when the policies that they combine fire, and what that makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select, update

from monitoring.alerts.folding import fold_ranges, read_checkpoint, read_evaluated
from monitoring.alerts.series_state import without_acts
from monitoring.alerts.transition import Transition
from monitoring.evidence import read_evidence, store_scores
from monitoring.policy.composite import CompositePolicy
from monitoring.policy.definition import Policy
from monitoring.policy.state import lock_policy, mark_operands, mark_scored
from monitoring.policy.versions import Timeline, read_timeline
from monitoring.scoring.classes import DAY, EvaluationClass, Interval, evaluation_times
from monitoring.scoring.composite import score_composite
from monitoring.scoring.firing import Firing, Group, Span
from userdb.models import PolicyState, Series


def score_operands(connection: Connection, name: str, timeline: Timeline) -> None:
    """Score a composite where its operands changed since it was last scored.

    Call it under the composite's lock, after its operands have been folded.
    """
    state = lock_policy(connection, name)
    if state.operands_from is None:
        return
    for part in timeline.segments(state.operands_from, state.operands_to):
        policy = part.version.policy
        if not isinstance(policy, CompositePolicy):
            continue
        after = part.after
        while after < part.until:
            until = min((after // DAY + 1) * DAY, part.until)
            times = evaluation_times(policy.interval, after, until)
            if len(times):
                operands = {
                    one: read_firing(connection, one, after, until) for one in policy.operands
                }
                scores = score_composite(policy, operands, times)
                store_scores(connection, policy, scores, after, until, (part.starts, part.ends))
            after = until
    mark_scored(connection, state, state.operands_from, state.operands_to, watermark=None)
    connection.execute(
        update(PolicyState)
        .where(PolicyState.policy == name)
        .values(operands_from=None, operands_to=None)
    )


def tell_composites(
    connection: Connection, name: str, composites: Iterable[CompositePolicy], after: int, until: int
) -> None:
    """Record for every composite that names ``name`` that it may have changed in (after, until].

    Composites are taken by name, so that two transactions lock them in the same order.
    """
    for composite in sorted({one.name for one in composites if name in one.operands}):
        mark_operands(connection, composite, after, until)


def read_firing(connection: Connection, name: str, after: int, until: int) -> Firing:
    """When the series of a policy fire in (after, until], before operators' acts.

    An evaluation's state holds until the next evaluation. What was not evaluated is unknown.
    """
    timeline = read_timeline(connection, name)
    labels = _labels(timeline, after, until)
    if not timeline.versions:
        return Firing(labels, {}, [(after + 1, until + 1)])
    # an evaluation before the range may rule its begin
    longest = max((policy.interval for policy in timeline.policies), default=1)
    begin, states = read_checkpoint(connection, name, after - longest)
    states = without_acts(states)
    open_since = {series: begin for series, state in states.items() if state.firing}
    unknown: list[Span] = []
    firing: dict[int, list[Span]] = {}
    own_unknown: dict[int, list[Span]] = {}
    at = begin
    while at < until and (ranges := read_evaluated(connection, name, at)):
        evidence = read_evidence(connection, name, at, ranges[-1].last)
        for one, end, found in fold_ranges(timeline, states, at, ranges, evidence, {}):
            if at < one.first:
                unknown.append((at + 1, one.first + 1))
            _follow(found, open_since, firing)
            states, at = end, one.last
            if at >= until:
                break
        for part in evidence:
            if part.evaluation_class is EvaluationClass.UNKNOWN:
                step = _interval(timeline, part)
                spans = own_unknown.setdefault(part.series, []) if part.series else unknown
                spans.append((part.first, part.last + step))
    if at < until:
        unknown.append((at + 1, until + 1))
    for series, since in open_since.items():
        firing.setdefault(series, []).append((since, until + 1))
    groups = _groups(connection, labels, {*firing, *own_unknown})
    return Firing(
        labels,
        {groups[series]: spans for series, spans in firing.items()},
        unknown,
        {groups[series]: spans for series, spans in own_unknown.items()},
    )


def _follow(
    transitions: Sequence[Transition], open_since: dict[int, int], firing: dict[int, list[Span]]
) -> None:
    for one in transitions:
        if one.is_mark:
            continue
        if one.to_state == "firing":
            open_since[one.series] = one.at
        elif one.series in open_since:
            firing.setdefault(one.series, []).append((open_since.pop(one.series), one.at))


def _interval(timeline: Timeline, part: Interval) -> int:
    policy = timeline.at(part.first).policy
    return 1 if policy is None else policy.interval


def _labels(timeline: Timeline, after: int, until: int) -> tuple[str, ...]:
    """All labels by which its series were told apart in the range."""
    found: dict[str, None] = {}
    for part in timeline.segments(after, until) if timeline.versions else ():
        if part.version.policy is not None:
            found |= dict.fromkeys(part.version.policy.group_labels)
    return tuple(found)


def _groups(connection: Connection, labels: Sequence[str], series: set[int]) -> dict[int, Group]:
    rows = connection.execute(select(Series.id, Series.labels).where(Series.id.in_(sorted(series))))
    return {row.id: tuple(row.labels.get(name, "") for name in labels) for row in rows}


def in_order(definitions: dict[str, Policy | None]) -> list[str]:
    """The names of policies, every composite behind those that it combines."""
    depth: dict[str, int] = {}

    def of(name: str, above: tuple[str, ...]) -> int:
        policy = definitions.get(name)
        if name in depth or not isinstance(policy, CompositePolicy) or name in above:
            return depth.setdefault(name, 0)
        depth[name] = 1 + max(of(one, (*above, name)) for one in policy.operands)
        return depth[name]

    for name in definitions:
        of(name, ())
    return sorted(definitions, key=lambda name: (depth[name], name))
