"""Evidence in userdb: a policy's intervals, kept maximal whatever the order of scoring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, delete, insert, select

from monitoring.policy.definition import Policy
from monitoring.scoring.classes import EvaluationClass, Interval, clip, merge
from userdb.models import PolicyScore

#: Intervals end at midnights UTC, so one that reaches past a time begins within a day before it.
_LONGEST = 24 * 60


def read_evidence(connection: Connection, policy: str, after: int, until: int) -> list[Interval]:
    """Stored intervals that touch (after, until], unclipped, by time."""
    rows = connection.execute(
        select(PolicyScore)
        .where(
            PolicyScore.policy == policy,
            PolicyScore.first_minute > after - _LONGEST,
            PolicyScore.first_minute <= until,
            PolicyScore.last_minute > after,
        )
        .order_by(PolicyScore.first_minute, PolicyScore.series_id)
    )
    return [
        Interval(
            row.series_id,
            row.first_minute,
            row.last_minute,
            EvaluationClass[row.evaluation_class.upper()],
            np.frombuffer(row.value_array or b"", dtype="<f8"),
        )
        for row in rows
    ]


def replace_evidence(
    connection: Connection,
    policy: Policy,
    found: Sequence[Interval],
    after: int,
    until: int,
    bounds: tuple[int, int | None],
) -> None:
    """Make ``found`` the evidence of (after, until], which lies within one UTC day.

    Args:
        bounds: evaluation times that the same version rules, after the first and up to the
            second: intervals are joined to neighbours within them only.
    """
    interval = policy.interval
    day_after = after // _LONGEST * _LONGEST
    low = max(day_after, bounds[0])
    high = day_after + _LONGEST if bounds[1] is None else min(day_after + _LONGEST, bounds[1])
    old = [
        part
        for part in read_evidence(
            connection, policy.name, max(after - interval, low), min(until + interval, high)
        )
        if part.first > low and part.last <= high
    ]
    kept: list[Interval] = []
    for part in old:
        for piece in (
            clip(part, part.first - 1, after, interval) if part.first <= after else None,
            clip(part, until, part.last, interval) if part.last > until else None,
        ):
            if piece is not None:
                kept.append(piece)
    new = merge([*kept, *found], interval)
    before = {_key(part) for part in old}
    wanted = {_key(part): part for part in new}
    gone = before - set(wanted)
    if gone:
        for key in sorted(gone):
            connection.execute(
                delete(PolicyScore).where(
                    PolicyScore.policy == policy.name,
                    PolicyScore.series_id == key[0],
                    PolicyScore.first_minute == key[1],
                )
            )
    rows = [
        {
            "policy": policy.name,
            "series_id": part.series,
            "first_minute": part.first,
            "last_minute": part.last,
            "evaluation_class": part.evaluation_class.name.lower(),
            "extreme": float(policy.worst.reduce(part.values)) if len(part.values) else None,
            "value_array": part.values.astype("<f8").tobytes() or None,
        }
        for key, part in wanted.items()
        if key not in before
    ]
    if rows:
        connection.execute(insert(PolicyScore.__table__), rows)  # type: ignore[arg-type]


def _key(part: Interval) -> tuple[int, int, int, int, bytes]:
    values = part.values.astype("<f8").tobytes()
    return part.series, part.first, part.last, int(part.evaluation_class), values
