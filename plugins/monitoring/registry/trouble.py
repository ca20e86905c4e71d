"""What is known of a service's containers: a container's trouble is its service's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from userdb.models import Alert, ContainerSample, Series


@dataclass(frozen=True)
class ContainerState:
    """The newest sample of a container, by its name; ``health`` is None without a health check."""

    name: str
    host: str
    observed_at: datetime
    state: str
    health: str | None
    exit_code: int | None
    oom_killed: bool | None


@dataclass(frozen=True)
class OpenAlert:
    """An alert that is pending or fires, about a service or a container of it."""

    id: str
    policy: str
    labels: dict[str, str]
    severity: str
    state: str
    active_at: datetime


def container_states(connection: Connection, names: Iterable[str]) -> list[ContainerState]:
    """What was last seen of the containers ``names``, by name and host."""
    wanted = set(names)
    if not wanted:
        return []
    series = {
        row.id: row.labels
        for row in connection.execute(
            select(Series.id, Series.labels).where(Series.family == "container")
        )
        if row.labels.get("container") in wanted
    }
    # by the whole primary key: else each day's partition would be looked into
    rows = connection.execute(
        select(*ContainerSample.__table__.c)
        .join(
            Series,
            (ContainerSample.series_id == Series.id)
            & (ContainerSample.minute == Series.last_minute),
        )
        .where(Series.id.in_(sorted(series)))
    )
    # a container whose image or service changed has had other series before
    found: dict[tuple[str, str], ContainerState] = {}
    for row in rows:
        labels = series[row.series_id]
        one = ContainerState(
            name=labels["container"],
            host=labels.get("host", ""),
            observed_at=row.observed_at,
            state=row.state,
            health=row.health,
            exit_code=row.exit_code,
            oom_killed=row.oom_killed,
        )
        known = found.get((one.name, one.host))
        if known is None or known.observed_at < one.observed_at:
            found[one.name, one.host] = one
    return [found[key] for key in sorted(found)]


def open_alerts(connection: Connection, service: str, containers: Iterable[str]) -> list[OpenAlert]:
    """Alerts that are not over, about the service itself or one of its containers, oldest first."""
    linked = set(containers)
    rows = connection.execute(
        select(Alert.id, Alert.policy, Alert.labels, Alert.severity, Alert.state, Alert.active_at)
        .where(Alert.superseded_at.is_(None), Alert.state != "resolved")
        .order_by(Alert.active_at, Alert.id)
    )
    return [
        OpenAlert(**row._mapping)
        for row in rows
        if row.labels.get("service") == service or row.labels.get("container") in linked
    ]
