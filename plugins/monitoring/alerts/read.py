"""Alerts and their history, read from userdb: for the command line, the API and the tests.

Operators' acts are part of both, from the moment at which they are done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, select

from monitoring.alerts.feedback import acts_by_alert, acts_of, feedback_of
from monitoring.alerts.overlay import RESOLVED_BY_HAND, Evaluations
from userdb.models import Alert, AlertTransition, OperatorAction

STATES = ("pending", "firing", "resolved")


@dataclass(frozen=True)
class AlertRow:
    """An episode as it stands, operators' acts included.

    ``mark`` is ``true_positive`` or ``false_positive``; None where nobody said.
    """

    id: str
    policy: str
    labels: dict[str, str]
    severity: str
    state: str
    active_at: datetime
    fired_at: datetime | None
    resolved_at: datetime | None
    flapping_at: datetime | None
    calm_at: datetime | None
    value: float | None
    annotations: dict[str, str]
    policy_version: int
    recorded_at: datetime
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    assignee: str | None = None
    mark: str | None = None


@dataclass(frozen=True)
class ActRow:
    """What an operator did about an alert; ``assignee`` is the person of ``assign``."""

    alert_id: str
    policy: str
    labels: dict[str, str]
    at: datetime
    action: str
    author: str
    assignee: str | None
    note: str | None


@dataclass(frozen=True)
class TransitionRow:
    """A change of an episode's state: true ``at`` event time, known since ``recorded_at``."""

    alert_id: str
    policy: str
    labels: dict[str, str]
    at: datetime
    from_state: str
    to_state: str
    value: float | None
    reason: str
    recorded_at: datetime
    superseded_at: datetime | None


@dataclass(frozen=True)
class Episode:
    """An episode as the fold left it; ``by_hand_at``: when an operator ended it since."""

    id: str
    policy: str
    series_id: int
    labels: dict[str, str]
    severity: str
    state: str
    active_at: datetime
    fired_at: datetime | None
    resolved_at: datetime | None
    flapping_at: datetime | None
    calm_at: datetime | None
    value: float | None
    annotations: dict[str, str]
    policy_version: int
    recorded_at: datetime
    by_hand_at: datetime | None


_COLUMNS = tuple(
    one.name for one in fields(Episode) if one.name in {own.name for own in fields(AlertRow)}
)
#: The columns of ``Episode``.
SELECT_ALERT: Select[*tuple[Any, ...]] = select(
    Alert.id,
    Alert.policy,
    Alert.series_id,
    Alert.labels,
    Alert.severity,
    Alert.state,
    Alert.active_at,
    Alert.fired_at,
    Alert.resolved_at,
    Alert.flapping_at,
    Alert.calm_at,
    Alert.value,
    Alert.annotations,
    Alert.policy_version,
    Alert.recorded_at,
    RESOLVED_BY_HAND.label("by_hand_at"),
)
_TRANSITION: Select[*tuple[Any, ...]] = select(
    AlertTransition.alert_id,
    AlertTransition.policy,
    Alert.labels,
    AlertTransition.at,
    AlertTransition.from_state,
    AlertTransition.to_state,
    AlertTransition.value,
    AlertTransition.reason,
    AlertTransition.recorded_at,
    AlertTransition.superseded_at,
).join_from(AlertTransition, Alert, Alert.id == AlertTransition.alert_id)


def get_alert(connection: Connection, alert_id: str) -> AlertRow | None:
    """The episode ``alert_id``, one that no longer holds too; None where there never was one."""
    rows = connection.execute(SELECT_ALERT.where(Alert.id == alert_id)).mappings()
    return next(iter(as_they_stand(connection, [Episode(**row) for row in rows])), None)


def as_they_stand(
    connection: Connection, episodes: Sequence[Episode], *, as_of: datetime | None = None
) -> list[AlertRow]:
    """Episodes with what operators did about them, by ``as_of`` where that is given."""
    acts = acts_by_alert(connection, episodes)
    evaluations = Evaluations(connection)
    found = []
    for one in episodes:
        values = {name: getattr(one, name) for name in _COLUMNS}
        if one.by_hand_at is not None:
            ended = evaluations.at_or_after(one.policy, one.by_hand_at)
            fired = one.fired_at is not None and one.fired_at < ended
            values |= {
                "state": "resolved",
                "resolved_at": ended,
                "fired_at": one.fired_at if fired else None,
            }
        done = (act for act in acts[one.id] if as_of is None or act.at <= as_of)
        found.append(AlertRow(**values, **vars(feedback_of(done))))
    return found


def alert_history(
    connection: Connection,
    alert_id: str | None = None,
    *,
    policy: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    as_of: datetime | None = None,
) -> list[TransitionRow]:
    """Transitions in event time: the ones that hold now, or those that were held at ``as_of``.

    Args:
        alert_id: one episode; None for all.
        since: event time, inclusive.
        until: event time, exclusive.
        as_of: what userdb said then: rows recorded by ``as_of`` and not superseded by it.
    """
    query = _TRANSITION
    if alert_id is not None:
        query = query.where(AlertTransition.alert_id == alert_id)
    if policy is not None:
        query = query.where(AlertTransition.policy == policy)
    if since is not None:
        query = query.where(AlertTransition.at >= since)
    if until is not None:
        query = query.where(AlertTransition.at < until)
    superseded = AlertTransition.superseded_at
    if as_of is None:
        query = query.where(superseded.is_(None))
    else:
        query = query.where(
            AlertTransition.recorded_at <= as_of, superseded.is_(None) | (superseded > as_of)
        )
    query = query.order_by(
        AlertTransition.at, AlertTransition.policy, AlertTransition.alert_id, AlertTransition.id
    )
    return [TransitionRow(**row) for row in connection.execute(query).mappings()]


def read_history(
    connection: Connection,
    alert_id: str | None = None,
    *,
    policy: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    as_of: datetime | None = None,
) -> list[TransitionRow | ActRow]:
    """``alert_history`` and what operators did, in the order of time; same arguments.

    Of one alert these are also the acts about an episode that it succeeds. Of all they are those
    that were done, each under the alert that it was done about.
    """
    found: list[TransitionRow | ActRow] = [
        *alert_history(connection, alert_id, policy=policy, since=since, until=until, as_of=as_of),
        *(
            one
            for one in _acts(connection, alert_id, policy)
            if (since is None or one.at >= since)
            and (until is None or one.at < until)
            and (as_of is None or one.at <= as_of)
        ),
    ]
    return sorted(found, key=lambda one: one.at)


def _acts(connection: Connection, alert_id: str | None, policy: str | None) -> list[ActRow]:
    if alert_id is not None:
        alert = connection.execute(select(Alert.__table__).where(Alert.id == alert_id)).first()
        if alert is None or policy not in (None, alert.policy):
            return []
        return [
            ActRow(
                alert_id,
                alert.policy,
                alert.labels,
                one.at,
                one.action,
                one.author,
                one.assignee,
                one.note,
            )
            for one in acts_of(connection, alert_id)
        ]
    query = select(
        OperatorAction.alert_id,
        OperatorAction.policy,
        Alert.labels,
        OperatorAction.at,
        OperatorAction.action,
        OperatorAction.author,
        OperatorAction.assignee,
        OperatorAction.note,
    ).join_from(OperatorAction, Alert, Alert.id == OperatorAction.alert_id)
    if policy is not None:
        query = query.where(OperatorAction.policy == policy)
    query = query.order_by(OperatorAction.at, OperatorAction.id)
    return [ActRow(**row) for row in connection.execute(query).mappings()]
