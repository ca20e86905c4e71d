"""Ranges of evaluation times of one policy: scored, stored, and kept in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from monitoring.evidence import store_scores
from monitoring.policy.composite import CompositePolicy
from monitoring.policy.definition import Policy
from monitoring.policy.state import mark_operands
from monitoring.policy.versions import Timeline
from monitoring.scoring.classes import DAY, EvaluationClass, Scores, evaluation_times
from monitoring.scoring.facts import Facts
from monitoring.scoring.registry import score
from userdb.models import Evaluation


@dataclass(frozen=True)
class Scored:
    """What scoring did: evaluations, most series at once, how many breach, unknown evaluations,
    and evaluations left as they are because they look back past the retention floor."""

    evaluations: int = 0
    series: int = 0
    breaching: int = 0
    unknown: int = 0
    frozen: int = 0

    @classmethod
    def of(cls, scores: Scores) -> Scored:
        return cls(
            evaluations=len(scores.times),
            series=len(scores.groups),
            breaching=int((scores.classes[-1] == EvaluationClass.BREACH).sum()),
            unknown=int(scores.unknown.sum()),
        )

    def plus(self, other: Scored) -> Scored:
        return Scored(
            self.evaluations + other.evaluations,
            max(self.series, other.series),
            max(self.breaching, other.breaching),
            self.unknown + other.unknown,
            self.frozen + other.frozen,
        )


def affected(
    connection: Connection, name: str, timeline: Timeline, first: int, last: int
) -> list[tuple[int, int]]:
    """Evaluated ranges (after, until] whose classes depend on the minutes first to last."""
    reach = max((policy.reach_minutes for policy in timeline.policies), default=0)
    after, until = first, last + 1 + reach
    rows = connection.execute(
        select(Evaluation.first_minute, Evaluation.last_minute).where(
            Evaluation.policy == name,
            Evaluation.last_minute > after,
            Evaluation.first_minute < until,
        )
    )
    return [(max(row.first_minute, after), min(row.last_minute, until)) for row in rows]


def join(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping and touching ranges as one, ascending."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined


def days(after: int, until: int, longest: int = DAY) -> Iterator[tuple[int, int]]:
    """Split (after, until] at midnights UTC; each part reaches over at most ``longest`` minutes, a
    day or a multiple of one. It bounds memory, and the length of stored intervals."""
    while after < until:
        end = min((after // DAY) * DAY + longest, until)
        yield after, end
        after = end


@dataclass(frozen=True)
class ScoredRange:
    """The scores of (after, until] by one version; ``bounds`` are the times that it rules."""

    policy: Policy
    after: int
    until: int
    bounds: tuple[int, int | None]
    scores: Scores


def score_range(
    facts: Facts, timeline: Timeline, after: int, until: int, *, longest: int = DAY
) -> Iterator[ScoredRange]:
    """Score (after, until], each part by the version that rules it; composites are left out.

    Args:
        longest: minutes that are scored at once; a day, else a multiple of one.
    """
    for part in timeline.segments(after, until):
        policy = part.version.policy
        if policy is None or isinstance(policy, CompositePolicy):
            continue
        for low, high in days(part.after, part.until, longest):
            times = evaluation_times(policy.interval, low, high)
            if len(times):
                scores = score(policy, facts, times)
                yield ScoredRange(policy, low, high, (part.starts, part.ends), scores)


def store_ranges(
    connection: Connection,
    timeline: Timeline,
    after: int,
    until: int,
    ranges: Iterable[ScoredRange],
) -> Scored:
    """Store what ``score_range`` gave for (after, until]. Composites are scored with the fold."""
    total = Scored()
    for one in ranges:
        store_scores(connection, one.policy, one.scores, one.after, one.until, one.bounds)
        total = total.plus(Scored.of(one.scores))
    for part in timeline.segments(after, until):
        if isinstance(part.version.policy, CompositePolicy):
            mark_operands(connection, part.version.policy.name, part.after, part.until)
    return total


def extend_ledger(connection: Connection, name: str, after: int, until: int) -> None:
    """Add (after, until] to the evaluated ranges, in rows that end at midnights at the latest.

    Ranges that are there already stay as they are, with their checkpoints.
    """
    rows = connection.execute(
        select(Evaluation.first_minute, Evaluation.last_minute)
        .where(
            Evaluation.policy == name,
            Evaluation.last_minute > after,
            Evaluation.first_minute < until,
        )
        .order_by(Evaluation.last_minute)
    ).all()
    missing: list[tuple[int, int]] = []
    at = after
    for row in rows:
        if at < row.first_minute:
            missing.append((at, row.first_minute))
        at = max(at, row.last_minute)
    if at < until:
        missing.append((at, until))
    new = [
        {"policy": name, "first_minute": low, "last_minute": high, "state": None}
        for gap in missing
        for low, high in days(*gap)
    ]
    if new:
        connection.execute(insert(Evaluation), new)
