"""Evidence in userdb: a policy's intervals, kept maximal whatever the order of scoring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, bindparam, delete, insert, select

from monitoring.policy.definition import Policy
from monitoring.scoring.classes import (
    DAY,
    EvaluationClass,
    Interval,
    Scores,
    clip,
    intervals,
    merge,
)
from userdb.models import PolicyScore
from userdb.series import fingerprint, intern_series


def read_evidence(connection: Connection, policy: str, after: int, until: int) -> list[Interval]:
    """Stored intervals that touch (after, until], unclipped, by time."""
    rows = connection.execute(
        select(PolicyScore)
        .where(
            PolicyScore.policy == policy,
            PolicyScore.first_minute > after - DAY,
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


def store_scores(
    connection: Connection,
    policy: Policy,
    scores: Scores,
    after: int,
    until: int,
    bounds: tuple[int, int | None],
) -> None:
    """Make what was scored the evidence of (after, until].

    Args:
        bounds: the evaluation times that the version rules: see ``replace_evidence``.
    """
    labels = [dict(zip(policy.group_labels, group, strict=True)) for group in scores.groups]
    used = np.flatnonzero(scores.classes.any(axis=0)).tolist()
    ids = intern_series(connection, "group", (labels[column] for column in used))
    series = [0] * len(labels)
    for column in used:
        series[column] = ids[fingerprint(labels[column])]
    replace_evidence(connection, policy, intervals(scores, series), after, until, bounds)


def replace_evidence(
    connection: Connection,
    policy: Policy,
    found: Sequence[Interval],
    after: int,
    until: int,
    bounds: tuple[int, int | None],
) -> None:
    """Make ``found`` the evidence of (after, until].

    Args:
        bounds: evaluation times that the same version rules, after the first and up to the
            second (None: to this day): intervals are joined to neighbours within them only.
    """
    interval = policy.interval
    low, high = bounds[0], until + DAY if bounds[1] is None else bounds[1]
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
        connection.execute(
            delete(PolicyScore).where(
                PolicyScore.policy == policy.name,
                PolicyScore.series_id == bindparam("the_series"),
                PolicyScore.first_minute == bindparam("the_first"),
            ),
            [{"the_series": key[0], "the_first": key[1]} for key in sorted(gone)],
        )
    rows = [
        {
            "policy": policy.name,
            "series_id": part.series,
            "first_minute": part.first,
            "last_minute": part.last,
            "evaluation_class": part.evaluation_class.name.lower(),
            "extreme": policy.worst(part.values) if len(part.values) else None,
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
