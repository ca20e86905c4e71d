"""Rows of ``alert``: one an episode, made from its current transitions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.engine import Row

from monitoring.alerts.transition import STATE_ORDER
from monitoring.policy.annotations import render
from monitoring.policy.versions import Timeline
from userdb.models import Alert, AlertTransition, Series
from userdb.times import to_minute

_BATCH = 5000


def write_episodes(
    connection: Connection,
    policy: str,
    alert_ids: set[str],
    timeline: Timeline,
    now: datetime,
) -> None:
    """Bring the alerts of these episodes in line with their current transitions.

    An episode that has none left is superseded; one that is back is not any more.
    """
    ids = sorted(alert_ids)
    for at in range(0, len(ids), _BATCH):
        _write(connection, policy, ids[at : at + _BATCH], timeline, now)


def _write(
    connection: Connection,
    policy: str,
    ids: Sequence[str],
    timeline: Timeline,
    now: datetime,
) -> None:
    transitions: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(
        select(AlertTransition).where(
            AlertTransition.alert_id.in_(ids), AlertTransition.superseded_at.is_(None)
        )
    ):
        transitions.setdefault(row.alert_id, []).append(row)
    for rows in transitions.values():
        put_in_order(rows)
    labels = {
        row.id: row.labels
        for row in connection.execute(
            select(Series.id, Series.labels).where(
                Series.id.in_({rows[0].series_id for rows in transitions.values()})
            )
        )
    }
    known = set(connection.scalars(select(Alert.id).where(Alert.id.in_(ids))))
    lost = [one for one in ids if one not in transitions and one in known]
    if lost:
        connection.execute(update(Alert).where(Alert.id.in_(lost)).values(superseded_at=now))
    new = []
    for alert_id, rows in transitions.items():
        values = episode_values(policy, rows, labels[rows[0].series_id], timeline)
        if alert_id in known:
            connection.execute(
                update(Alert).where(Alert.id == alert_id).values(**values, superseded_at=None)
            )
        else:
            new.append({"id": alert_id, **values, "recorded_at": now, "superseded_at": None})
    if new:
        connection.execute(insert(Alert), new)


def put_in_order(transitions: list[Row[Any]]) -> None:
    """Sort an episode's transitions: of those at one time, the earlier state's first."""
    transitions.sort(key=lambda row: (row.at, STATE_ORDER[row.from_state]))


def episode_values(
    policy: str, rows: Sequence[Row[Any]], labels: dict[str, str], timeline: Timeline
) -> dict[str, Any]:
    """What an episode's transitions, in order, come to: columns of ``alert``.

    Args:
        labels: of its series; the policy's own are added.
    """
    begun = rows[0]
    times = {row.to_state: row.at for row in rows if row.from_state != row.to_state}
    marks = {row.reason: row.at for row in rows if row.from_state == row.to_state}
    fired = next((row for row in rows if row.to_state == "firing"), None)
    value = begun.value if fired is None or fired.value is None else fired.value
    minute = to_minute(begun.at)
    version = timeline.at(minute)
    definition = version.policy
    assert definition is not None  # a removed policy has no breaches
    ended = times.get("resolved") or times.get("inactive")
    return {
        "policy": policy,
        "series_id": begun.series_id,
        "labels": {**definition.labels, **labels},
        "severity": definition.severity,
        "state": "resolved" if ended else "firing" if fired else "pending",
        "active_at": begun.at,
        "fired_at": None if fired is None else fired.at,
        "resolved_at": ended,
        "flapping_at": marks.get("flapping"),
        "calm_at": marks.get("calm"),
        "value": value,
        "annotations": render(definition.annotations, labels, value),
        "policy_version": version.number,
    }
