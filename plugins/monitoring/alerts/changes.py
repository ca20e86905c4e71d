"""What one run changed in the alert history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, or_, select

from userdb.models import Alert, AlertTransition


@dataclass(frozen=True)
class EpisodeChange:
    """An episode that is there now and was not, is not any more, or has other times."""

    what: Literal["added", "removed", "changed"]
    alert_id: str
    policy: str
    labels: Mapping[str, str]
    active_at: datetime
    fired_at: datetime | None
    resolved_at: datetime | None


def episode_changes(
    connection: Connection, policies: Sequence[str], recorded_at: datetime
) -> list[EpisodeChange]:
    """What was recorded at ``recorded_at`` about episodes of ``policies``, in event time.

    An episode is told as it holds now; one that was removed, as it last was.
    """
    touched = select(AlertTransition.alert_id).where(
        AlertTransition.policy.in_(policies),
        or_(
            AlertTransition.recorded_at == recorded_at, AlertTransition.superseded_at == recorded_at
        ),
    )
    rows = connection.execute(
        select(Alert.__table__).where(Alert.id.in_(touched)).order_by(Alert.active_at, Alert.id)
    )
    return [
        EpisodeChange(
            "removed"
            if row.superseded_at is not None
            else "added"
            if row.recorded_at == recorded_at
            else "changed",
            row.id,
            row.policy,
            row.labels,
            row.active_at,
            row.fired_at,
            row.resolved_at,
        )
        for row in rows
    ]
