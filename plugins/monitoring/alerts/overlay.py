"""Operators' acts before the fold has taken them in: for readers of the present they hold at once.

An alert that was resolved by hand is over. The next fold ends it at its policy's first evaluation
at or after the act, and that is the time which is shown before it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, ScalarSelect, func, or_, select

from monitoring.policy.versions import Timeline, read_timeline
from userdb.models import Alert, OperatorAction
from userdb.times import from_minute, to_minute_up

#: In a query of ``alert``: when an operator resolved the episode, as far as its own row does not
#: say so; null for one whose row has an end. An act ends what began before it.
RESOLVED_BY_HAND: ScalarSelect[datetime] = (
    select(func.min(OperatorAction.at))
    .where(
        Alert.resolved_at.is_(None),
        OperatorAction.policy == Alert.policy,
        OperatorAction.series_id == Alert.series_id,
        OperatorAction.action == "resolve",
        OperatorAction.at > Alert.active_at,
    )
    .correlate(Alert)
    .scalar_subquery()
)


@dataclass(frozen=True)
class Standing:
    """An episode as it stands, operators' acts included."""

    id: str
    policy: str
    series_id: int
    severity: str
    active_at: datetime
    resolved_at: datetime | None

    def is_open_at(self, at: datetime) -> bool:
        return self.resolved_at is None or self.resolved_at > at


class Evaluations:
    """When a policy is next evaluated, for policies that are asked for more than once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._timelines: dict[str, Timeline] = {}

    def at_or_after(self, policy: str, at: datetime) -> datetime:
        """The policy's first evaluation time at or after ``at``; ``at`` where it has none left."""
        if policy not in self._timelines:
            self._timelines[policy] = read_timeline(self._connection, policy)
        minute = self._timelines[policy].first_evaluation(to_minute_up(at))
        return at if minute is None else from_minute(minute)


def read_standing(connection: Connection, ids: Sequence[str]) -> list[Standing]:
    """Episodes as they stand, oldest first.

    One that was resolved by hand is over since the act, as long as no fold has said otherwise.
    """
    rows = connection.execute(
        select(
            Alert.id,
            Alert.policy,
            Alert.series_id,
            Alert.severity,
            Alert.active_at,
            func.coalesce(Alert.resolved_at, RESOLVED_BY_HAND).label("resolved_at"),
        )
        .where(Alert.id.in_(ids))
        .order_by(Alert.active_at, Alert.id)
    )
    return [Standing(**row) for row in rows.mappings()]


def successors(connection: Connection, alert_id: str) -> list[str]:
    """The episodes that hold now where an episode was; none where there never was such an id.

    Itself if it holds, else those of its series that overlap the time in which it was known.
    Oldest first.
    """
    episode = connection.execute(select(Alert.__table__).where(Alert.id == alert_id)).one_or_none()
    if episode is None:
        return []
    if episode.superseded_at is None:
        return [alert_id]
    query = (
        select(Alert.id)
        .where(
            Alert.policy == episode.policy,
            Alert.series_id == episode.series_id,
            Alert.superseded_at.is_(None),
            or_(Alert.resolved_at.is_(None), Alert.resolved_at > episode.active_at),
        )
        .order_by(Alert.active_at)
    )
    if episode.resolved_at is not None:
        query = query.where(Alert.active_at < episode.resolved_at)
    return list(connection.scalars(query))
