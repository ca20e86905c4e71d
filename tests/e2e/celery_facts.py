"""What the analysis left in a userdb, in a form that two databases can be compared by."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select

from tests.incident import Incident
from userdb.models import Alert, AlertTransition, Evaluation, PolicyScore, Series
from userdb.store import Store


def history(store: Store) -> dict[str, Any]:
    """Evaluated minutes, evidence, episodes and transitions that hold; no ids that a database gives
    out, and no time at which anything was recorded."""
    with store.read() as connection:
        series = {
            row.id: row.fingerprint
            for row in connection.execute(select(Series.id, Series.fingerprint))
        }
        evaluated: dict[str, set[int]] = {}
        for row in connection.execute(
            select(Evaluation.policy, Evaluation.first_minute, Evaluation.last_minute)
        ):
            evaluated.setdefault(row.policy, set()).update(
                range(row.first_minute + 1, row.last_minute + 1)
            )
        evidence = sorted(
            (
                row.policy,
                row.first_minute,
                row.last_minute,
                series.get(row.series_id, ""),
                row.evaluation_class,
                row.extreme,
            )
            for row in connection.execute(select(PolicyScore.__table__))
        )
        episodes = sorted(
            (row.id, row.policy, row.state, row.active_at)
            for row in connection.execute(select(Alert.__table__))
            if row.superseded_at is None
        )
        transitions = sorted(
            (row.alert_id, row.at, row.from_state, row.to_state, row.value, row.reason)
            for row in connection.execute(select(AlertTransition.__table__))
            if row.superseded_at is None
        )
    return {
        "evaluated": evaluated,
        "evidence": evidence,
        "episodes": episodes,
        "transitions": transitions,
    }


def firings(store: Store, incident: Incident, start: int) -> list[tuple[datetime, str]]:
    """Transitions of the alert ``timeouts`` within an hour of an incident's start."""
    with store.read() as connection:
        rows = connection.execute(
            select(AlertTransition.at, AlertTransition.to_state).where(
                AlertTransition.policy == "timeouts",
                AlertTransition.superseded_at.is_(None),
                AlertTransition.at >= incident.at(start),
                AlertTransition.at < incident.at(start + 60),
            )
        ).all()
    return sorted((row.at, row.to_state) for row in rows)
