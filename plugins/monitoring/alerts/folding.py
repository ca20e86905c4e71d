"""The fold over what was evaluated: from a checkpoint, range by range, to transitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from monitoring.alerts.series_state import FoldState, load_state
from monitoring.alerts.state import end_all, fold
from monitoring.alerts.transition import Transition
from monitoring.policy.versions import Segment, Timeline
from monitoring.scoring.classes import DAY, EvaluationClass, Interval, clip
from userdb.models import Evaluation

#: Evaluated ranges that are folded at once, which bounds what a fold holds: so many, and no more
#: than end within a week.
_BATCH = 600
_SPAN = 7 * DAY

#: Series to the minutes, ascending, at which operators resolved its episodes.
Acts = Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class EvaluatedRange:
    """Evaluation times in (first, last] were evaluated; ``state`` is the checkpoint at the end."""

    first: int
    last: int
    state: dict[str, Any] | None


def read_checkpoint(connection: Connection, name: str, at: int) -> tuple[int, FoldState]:
    """The last evaluated range that ended by ``at`` and was folded: its end and the state there.

    Where there is none: the begin of what was evaluated, and no state.
    """
    row = connection.execute(
        select(Evaluation.last_minute, Evaluation.state)
        .where(
            Evaluation.policy == name,
            Evaluation.last_minute <= at,
            Evaluation.state.is_not(None),
        )
        .order_by(Evaluation.last_minute.desc())
        .limit(1)
    ).one_or_none()
    if row is not None:
        return row.last_minute, load_state(row.state)
    first = connection.scalar(
        select(Evaluation.first_minute)
        .where(Evaluation.policy == name)
        .order_by(Evaluation.last_minute)
        .limit(1)
    )
    return (at if first is None else first), {}


def read_evaluated(connection: Connection, name: str, after: int) -> list[EvaluatedRange]:
    """The next evaluated ranges that end after ``after``, a batch of them."""
    rows = connection.execute(
        select(Evaluation.first_minute, Evaluation.last_minute, Evaluation.state)
        .where(Evaluation.policy == name, Evaluation.last_minute > after)
        .order_by(Evaluation.last_minute)
        .limit(_BATCH)
    )
    found = [EvaluatedRange(row.first_minute, row.last_minute, row.state) for row in rows]
    return [one for one in found if one.last <= found[0].last + _SPAN]


def fold_ranges(
    timeline: Timeline,
    states: FoldState,
    after: int,
    ranges: Sequence[EvaluatedRange],
    evidence: Sequence[Interval],
    acts: Acts,
) -> Iterator[tuple[EvaluatedRange, FoldState, list[Transition]]]:
    """Carry ``states``, which hold at ``after``, over each range in turn.

    What lies between two ranges was not evaluated, so it is unknown.

    Args:
        ranges: ascending.
        evidence: of the ranges, by first time.
        acts: may lie anywhere.

    Yields:
        Each range, the states at its end, and the transitions in it.
    """
    due = {
        series: [at for minute in minutes if (at := timeline.first_evaluation(minute)) is not None]
        for series, minutes in acts.items()
    }
    ahead = list(reversed(evidence))
    touching: list[Interval] = []
    for one in ranges:
        while ahead and ahead[-1].first <= one.last:
            touching.append(ahead.pop())
        touching = [part for part in touching if part.last > after]
        found: list[Transition] = []
        for part in timeline.segments(after, one.last):
            if part.breaks_identity:
                found += end_all(states, part.after + 1, "policy changed")
                states = {}
            if part.version.policy is not None:
                states, new = _fold_segment(part, states, touching, one.first, due)
                found += new
        after = one.last
        yield one, states, found


def _fold_segment(
    part: Segment, states: FoldState, evidence: Sequence[Interval], evaluated: int, due: Acts
) -> tuple[FoldState, list[Transition]]:
    policy = part.version.policy
    assert policy is not None
    clipped = [
        piece
        for one in evidence
        if one.last > part.after
        and one.first <= part.until
        and (piece := clip(one, part.after, part.until, policy.interval)) is not None
    ]
    unknown = [
        (one.first, one.last)
        for one in clipped
        if one.evaluation_class is EvaluationClass.UNKNOWN and not one.series
    ]
    unknown += _unevaluated(part, evaluated, policy.interval)
    acts = {
        series: [at for at in times if part.after < at <= part.until]
        for series, times in due.items()
    }
    acts = {series: times for series, times in acts.items() if times}
    return fold(policy, states, clipped, sorted(unknown), part.after, part.until, acts)


def _unevaluated(part: Segment, first: int, interval: int) -> Iterator[tuple[int, int]]:
    """Evaluation times of the segment up to ``first``, as a span."""
    low = (part.after // interval + 1) * interval
    high = min(first, part.until) // interval * interval
    if low <= high:
        yield low, high
