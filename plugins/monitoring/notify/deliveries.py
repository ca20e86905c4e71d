"""The outbox and its tries, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.orm import aliased

from monitoring.notify.outbox import DEAD, PENDING, SENDING, SENT
from userdb.models import Delivery, DeliveryAttempt

STATUSES = (PENDING, SENDING, SENT, DEAD)


@dataclass(frozen=True)
class DeliveryRow:
    """One message to one receiver.

    Attributes:
        alerts: how many are in it.
        last: how the last try went: the receiver's answer, or what failed; None without a try.
        overtaken: whether a later message of its group was sent: the receiver knows more.
    """

    id: str
    receiver: str
    group_key: str
    status: str
    kind: str
    alerts: int
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    finished_at: datetime | None
    resent_at: datetime | None
    last: str | None
    overtaken: bool


@dataclass(frozen=True)
class AttemptRow:
    """One try. ``outcome`` is sent, retry or permanent; ``response`` holds no secrets."""

    number: int
    started_at: datetime
    duration_s: float
    outcome: str
    http_status: int | None
    response: str | None


def list_deliveries(
    connection: Connection,
    *,
    status: str | None = None,
    receiver: str | None = None,
    ids: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[DeliveryRow]:
    """Deliveries, newest first."""
    later = aliased(Delivery)
    overtaken = (
        select(later.id)
        .where(
            later.receiver == Delivery.receiver,
            later.group_key == Delivery.group_key,
            later.sequence > Delivery.sequence,
            later.status == SENT,
        )
        .exists()
    )
    last = (
        select(DeliveryAttempt.response)
        .where(DeliveryAttempt.delivery_id == Delivery.id)
        .order_by(DeliveryAttempt.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(
        Delivery.id,
        Delivery.receiver,
        Delivery.group_key,
        Delivery.status,
        Delivery.kind,
        Delivery.payload,
        Delivery.attempts,
        Delivery.created_at,
        Delivery.next_attempt_at,
        Delivery.finished_at,
        Delivery.resent_at,
        last.label("last"),
        overtaken.label("overtaken"),
    )
    if status is not None:
        query = query.where(Delivery.status == status)
    if receiver is not None:
        query = query.where(Delivery.receiver == receiver)
    if ids is not None:
        query = query.where(Delivery.id.in_(ids))
    query = query.order_by(Delivery.created_at.desc(), Delivery.sequence.desc(), Delivery.id)
    return [_row(row._mapping) for row in connection.execute(query.limit(limit))]


def _row(row: RowMapping) -> DeliveryRow:
    fields = {name: row[name] for name in DeliveryRow.__dataclass_fields__ if name != "alerts"}
    fields["overtaken"] = bool(fields["overtaken"])
    return DeliveryRow(alerts=len(row["payload"]["alerts"]), **fields)


def read_payload(connection: Connection, delivery_id: str) -> dict[str, Any] | None:
    """What a delivery says; None where there is no such delivery."""
    found: dict[str, Any] | None = connection.scalar(
        select(Delivery.payload).where(Delivery.id == delivery_id)
    )
    return found


def list_attempts(connection: Connection, delivery_id: str) -> list[AttemptRow]:
    """A delivery's tries, in order."""
    rows = connection.execute(
        select(
            DeliveryAttempt.number,
            DeliveryAttempt.started_at,
            DeliveryAttempt.duration_s,
            DeliveryAttempt.outcome,
            DeliveryAttempt.http_status,
            DeliveryAttempt.response,
        )
        .where(DeliveryAttempt.delivery_id == delivery_id)
        .order_by(DeliveryAttempt.id)
    )
    return [AttemptRow(*row) for row in rows]
