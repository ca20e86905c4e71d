"""What was evaluated and what was found, read: ranges of evaluation times, and the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, and_, or_, select
from sqlalchemy.engine import Row

from monitoring.alerts.matchers import Matcher, match_all
from monitoring.evaluated import join
from monitoring.pages import Page, read_page
from monitoring.scoring.classes import DAY
from userdb.errors import NotFoundError
from userdb.models import Evaluation, PolicyScore, PolicyState, Series
from userdb.times import from_minute, to_minute, to_minute_up


@dataclass(frozen=True)
class EvaluatedRange:
    """The policy was evaluated at each of its times after ``after``, up to ``until``."""

    after: datetime
    until: datetime


@dataclass(frozen=True)
class EvidenceRow:
    """An interval of evaluations at which a series had one class; clear ones are not stored.

    Attributes:
        labels: of the series; none where it holds for all series (unknown).
        evaluation_class: breach, between, missing, unknown, gone.
        first, last: evaluation times, both included.
        extreme: the worst value.
        values: one an evaluation, evenly from first to last; None where they were not asked for,
            or the class has none. An entry is None where there was no value.
    """

    labels: dict[str, str]
    evaluation_class: str
    first: datetime
    last: datetime
    extreme: float | None
    values: list[float | None] | None


@dataclass(frozen=True)
class Place:
    """After which interval a page begins: they are in the order of their first minutes."""

    first_minute: int
    series_id: int


def list_evaluated(
    connection: Connection, policy: str, since: datetime, until: datetime
) -> list[EvaluatedRange]:
    """The ranges within (since, until] at which a policy was evaluated, joined, ascending.

    Raises:
        NotFoundError: there is no such policy.
    """
    if connection.scalar(select(PolicyState.policy).where(PolicyState.policy == policy)) is None:
        raise NotFoundError(f"no run has evaluated a policy {policy!r}")
    low, high = to_minute_up(since), to_minute(until)
    rows = connection.execute(
        select(Evaluation.first_minute, Evaluation.last_minute).where(
            Evaluation.policy == policy,
            Evaluation.last_minute > low,
            Evaluation.first_minute < high,
        )
    )
    clipped = [(max(row.first_minute, low), min(row.last_minute, high)) for row in rows]
    return [EvaluatedRange(from_minute(a), from_minute(b)) for a, b in join(clipped)]


def list_evidence(
    connection: Connection,
    policy: str,
    since: datetime,
    until: datetime,
    *,
    classes: Sequence[str] = (),
    matchers: Sequence[Matcher] = (),
    with_values: bool = False,
    after: Place | None = None,
    limit: int = 500,
) -> Page[EvidenceRow, Place]:
    """A page of the intervals that touch (since, until], unclipped, by their first evaluation.

    Args:
        classes: only these; empty: all.
        matchers: of the series' labels. What holds for all series is always told.
    """
    table = PolicyScore
    low, high = to_minute(since), to_minute(until)
    columns = [table.values] if with_values else []
    query = (
        select(
            table.first_minute,
            table.series_id,
            table.last_minute,
            table.evaluation_class,
            table.extreme,
            Series.labels,
            *columns,
        )
        .join_from(table, Series, Series.id == table.series_id, isouter=True)
        .where(
            table.policy == policy,
            table.first_minute > low - DAY,  # no interval is longer
            table.first_minute <= high,
            table.last_minute > low,
        )
        .order_by(table.first_minute, table.series_id)
    )
    if classes:
        query = query.where(table.evaluation_class.in_(classes))

    def read(after: Place | None, limit: int) -> Sequence[Row[*tuple[Any, ...]]]:
        return connection.execute(_following(query, after).limit(limit)).all()

    page = read_page(
        read,
        lambda row: Place(row.first_minute, row.series_id),
        after=after,
        limit=limit,
        accepts=(lambda row: row.series_id == 0 or match_all(matchers, row.labels))
        if matchers
        else None,
    )
    return Page(
        [
            EvidenceRow(
                row.labels or {},
                row.evaluation_class,
                from_minute(row.first_minute),
                from_minute(row.last_minute),
                row.extreme,
                _values(row.value_array) if with_values else None,
            )
            for row in page.rows
        ],
        page.rest,
    )


def _following(query: Select[*tuple[Any, ...]], after: Place | None) -> Select[*tuple[Any, ...]]:
    if after is None:
        return query
    first, series = PolicyScore.first_minute, PolicyScore.series_id
    return query.where(
        or_(
            first > after.first_minute,
            and_(first == after.first_minute, series > after.series_id),
        )
    )


def _values(stored: bytes | None) -> list[float | None] | None:
    if not stored:
        return None
    values = np.frombuffer(stored, dtype="<f8")
    return [None if np.isnan(one) else one for one in values.tolist()]
