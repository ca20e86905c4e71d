"""What operators do about alerts: acknowledge, comment, resolve by hand.

An act is about a span of a series' time: the episode as it was known when the act was done. Late
data may move, merge or split that episode; the act then holds for every episode that overlaps the
span, and ``successors`` leads from the old episode to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.engine import Row

from monitoring.policy.state import lock_policy
from userdb.errors import AlertError
from userdb.models import Alert, OperatorAction, PolicyState
from userdb.store import Store
from userdb.times import require_aware, to_minute

Action = Literal["acknowledge", "unacknowledge", "resolve", "comment"]
ACTIONS: tuple[Action, ...] = ("acknowledge", "unacknowledge", "resolve", "comment")


@dataclass(frozen=True)
class Act:
    """One thing that an operator did."""

    action: str
    at: datetime
    author: str
    note: str | None


def act(
    store: Store,
    alert_id: str,
    action: Action,
    *,
    at: datetime,
    author: str,
    note: str | None = None,
) -> None:
    """Record what ``author`` did about an episode at ``at``.

    ``resolve`` ends it at its policy's first evaluation at or after ``at``; no other begins before
    the condition has been clear once. The fold that follows takes it in.

    Raises:
        AlertError: there is no such episode, it has not begun by ``at``, or, for all but comments,
            it is over.
        NaiveDatetimeError: ``at`` has no time zone.
    """
    at = require_aware(at, "at")

    def work(connection: Connection) -> None:
        alert = connection.execute(
            select(Alert.__table__).where(Alert.id == alert_id)
        ).one_or_none()
        if alert is None:
            raise AlertError(
                f"there is no alert {alert_id}; `monitoring alerts list` shows those there are"
            )
        if alert.active_at > at:
            raise AlertError(
                f"alert {alert_id} began at {alert.active_at.isoformat()}, after the act"
            )
        if action == "resolve" and alert.resolved_at is not None and alert.resolved_at <= at:
            raise AlertError(
                f"alert {alert_id} is over since {alert.resolved_at.isoformat()}: "
                "there is nothing to resolve"
            )
        record_act(
            connection,
            alert.policy,
            alert.series_id,
            Act(action, at, author, note),
            alert_id=alert_id,
            span_from=alert.active_at,
        )

    store.write(work)


def record_act(
    connection: Connection,
    policy: str,
    series_id: int,
    done: Act,
    *,
    alert_id: str,
    span_from: datetime,
) -> None:
    """Store an act about the time from ``span_from`` on of a policy's series."""
    connection.execute(
        insert(OperatorAction).values(
            policy=policy,
            series_id=series_id,
            alert_id=alert_id,
            action=done.action,
            at=done.at,
            span_from=span_from,
            author=done.author,
            note=done.note,
        )
    )
    if done.action == "resolve":
        _fold_again(connection, policy, _minute(done.at))


def acts_of(connection: Connection, alert_id: str) -> list[Act]:
    """What operators did about an episode, or about one that it succeeds; oldest first."""
    episode = connection.execute(select(Alert.__table__).where(Alert.id == alert_id)).one_or_none()
    if episode is None:
        return []
    rows = connection.execute(
        select(OperatorAction.__table__)
        .where(
            OperatorAction.policy == episode.policy,
            OperatorAction.series_id == episode.series_id,
            # the act's span and the episode overlap
            or_(OperatorAction.at >= episode.active_at, OperatorAction.alert_id == alert_id),
        )
        .order_by(OperatorAction.at, OperatorAction.id)
    )
    return [
        Act(row.action, row.at, row.author, row.note)
        for row in rows
        if row.alert_id == alert_id
        or episode.resolved_at is None
        or row.span_from < episode.resolved_at
    ]


def is_acknowledged(acts: Sequence[Act]) -> bool:
    """Whether the last word of ``acts``, oldest first, is an acknowledgement."""
    said = [one.action for one in acts if one.action in ("acknowledge", "unacknowledge")]
    return bool(said) and said[-1] == "acknowledge"


def successors(connection: Connection, alert_id: str) -> list[str]:
    """The episodes that hold now where an episode was: itself if it holds, else those of its
    series that overlap the time in which it was known. Oldest first."""
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


def read_resolutions(connection: Connection, policy: str) -> dict[int, list[int]]:
    """Series to the minutes, rounded up, ascending, at which operators resolved its episodes."""
    rows = connection.execute(
        select(OperatorAction.series_id, OperatorAction.at)
        .where(OperatorAction.policy == policy, OperatorAction.action == "resolve")
        .order_by(OperatorAction.at, OperatorAction.id)
    )
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row.series_id, []).append(_minute(row.at))
    return found


def _minute(at: datetime) -> int:
    """The first minute at or after ``at``."""
    minute = to_minute(at)
    return minute if at.second == at.microsecond == 0 else minute + 1


def _fold_again(connection: Connection, policy: str, minute: int) -> None:
    """Let the next fold begin before ``minute``, if it was folded that far."""
    state: Row[tuple[int | None, ...]] = lock_policy(connection, policy)
    connection.execute(
        update(PolicyState)
        .where(PolicyState.policy == policy)
        .values(
            fold_from=minute - 1 if state.fold_from is None else min(minute - 1, state.fold_from),
            fold_to=minute if state.fold_to is None else max(minute, state.fold_to),
        )
    )
