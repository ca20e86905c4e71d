"""Alerts and their history, read from userdb: for the command line, the API and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, select

from userdb.models import Alert, AlertTransition

STATES = ("pending", "firing", "resolved")


@dataclass(frozen=True)
class AlertRow:
    """An episode, as the table ``alert`` has it now."""

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


_ALERT: Select[*tuple[Any, ...]] = select(
    Alert.id,
    Alert.policy,
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


def list_alerts(
    connection: Connection,
    *,
    state: str | None = None,
    fired: bool | None = None,
    policy: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = 500,
) -> list[AlertRow]:
    """Episodes that hold now, newest first.

    Args:
        state: pending, firing or resolved; None for all.
        fired: only episodes that fired, or only those that never did; None for both.
        since: leave out episodes that had ended by then.
        until: leave out episodes that began then or later.
        limit: at most so many; None for all.
    """
    query = _ALERT.where(Alert.superseded_at.is_(None))
    if state is not None:
        query = query.where(Alert.state == state)
    if fired is not None:
        query = query.where(Alert.fired_at.is_not(None) if fired else Alert.fired_at.is_(None))
    if policy is not None:
        query = query.where(Alert.policy == policy)
    if since is not None:
        query = query.where(Alert.resolved_at.is_(None) | (Alert.resolved_at > since))
    if until is not None:
        query = query.where(Alert.active_at < until)
    query = query.order_by(Alert.active_at.desc(), Alert.policy, Alert.id).limit(limit)
    return [AlertRow(**row) for row in connection.execute(query).mappings()]


def get_alert(connection: Connection, alert_id: str) -> AlertRow | None:
    """The episode ``alert_id``, one that no longer holds too; None where there never was one."""
    row = connection.execute(_ALERT.where(Alert.id == alert_id)).mappings().first()
    return None if row is None else AlertRow(**row)


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
