"""Alerts as the fold would write them, put straight into userdb."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from monitoring.policy.kinds import parse_policy, stored_form
from sqlalchemy import insert, select, update

from userdb.models import Alert, Delivery, DeliveryAttempt, PolicyState, PolicyVersion
from userdb.store import Store
from userdb.times import to_minute

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = "request-timeouts"


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def add_policy(
    store: Store, name: str = POLICY, *, watermark: datetime | None = NOW, **fields: Any
) -> None:
    """A policy that was evaluated up to ``watermark``."""
    policy = parse_policy(
        {
            "name": name,
            "kind": "threshold",
            "signal": "requests.timeout_ratio",
            "condition": "> 0.05",
            **fields,
        }
    )

    def write(connection: Any) -> None:
        connection.execute(
            insert(PolicyVersion).values(
                policy=name,
                version=1,
                definition=stored_form(policy),
                effective_minute=0,
                registered_at=NOW,
            )
        )
        connection.execute(
            insert(PolicyState).values(
                policy=name,
                family="request",
                watermark=None if watermark is None else to_minute(watermark),
            )
        )

    store.write(write)


def remove_policy(store: Store, name: str = POLICY) -> None:
    store.write(
        lambda connection: connection.execute(
            insert(PolicyVersion).values(
                policy=name, version=2, definition=None, effective_minute=1, registered_at=NOW
            )
        )
    )


def set_watermark(store: Store, at: datetime, name: str = POLICY) -> None:
    store.write(
        lambda connection: connection.execute(
            update(PolicyState).where(PolicyState.policy == name).values(watermark=to_minute(at))
        )
    )


def put_alert(
    store: Store,
    episode: str,
    *,
    service: str = "sim",
    policy: str = POLICY,
    fired_at: datetime | None = NOW,
    resolved_at: datetime | None = None,
    superseded_at: datetime | None = None,
    **values: Any,
) -> None:
    """Insert or replace an episode."""
    active_at = fired_at or NOW
    state = "resolved" if resolved_at else "firing" if fired_at else "pending"
    row = {
        "policy": policy,
        "series_id": 1,
        "labels": {"service": service, "team": "core"},
        "severity": "critical",
        "state": state,
        "active_at": active_at - minutes(2),
        "fired_at": fired_at,
        "resolved_at": resolved_at,
        "value": 0.5,
        "annotations": {"summary": f"{service}: 50% of requests time out"},
        "policy_version": 1,
        "recorded_at": NOW,
        "superseded_at": superseded_at,
        **values,
    }

    def write(connection: Any) -> None:
        there = connection.scalar(select(Alert.id).where(Alert.id == episode))
        if there is None:
            connection.execute(insert(Alert).values(id=episode, **row))
        else:
            connection.execute(update(Alert).where(Alert.id == episode).values(**row))

    store.write(write)


def supersede(store: Store, episode: str) -> None:
    store.write(
        lambda connection: connection.execute(
            update(Alert).where(Alert.id == episode).values(superseded_at=NOW)
        )
    )


def deliveries(store: Store) -> list[Any]:
    """All deliveries, in the order of their groups."""
    with store.read() as connection:
        return list(
            connection.execute(
                select(Delivery).order_by(Delivery.receiver, Delivery.group_key, Delivery.sequence)
            )
        )


def attempts(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(select(DeliveryAttempt).order_by(DeliveryAttempt.id)))


def told(store: Store) -> list[list[tuple[str, str]]]:
    """Of each delivery: each alert's service and status."""
    return [
        [(one["labels"]["service"], one["status"]) for one in row.payload["alerts"]]
        for row in deliveries(store)
    ]
