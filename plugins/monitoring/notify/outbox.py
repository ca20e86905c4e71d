"""The outbox: rows of ``delivery``, claimed by conditional updates, so that nobody sends twice.

A worker owns a row while its lease lasts. One that dies leaves the row ``sending`` until the
lease is over; then another sends it again, with the same id. Within a receiver's group a message
waits until the one before it is finished.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from userdb.models import Delivery, DeliveryAttempt

PENDING, SENDING, SENT, DEAD = "pending", "sending", "sent", "dead"
_UNFINISHED = (PENDING, SENDING)
#: Kinds of deliveries: a group's alerts, and what a receiver's limit held back.
ALERTS, DIGEST = "alerts", "digest"


@dataclass(frozen=True)
class Claim:
    """A delivery that a worker owns; ``attempt`` counts from 1."""

    id: str
    worker: str
    group_key: str
    payload: dict[str, Any]
    attempt: int
    created_at: datetime
    #: when it was put into the outbox, or last sent again by hand
    tried_since: datetime
    kind: str = "alerts"
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """How a try went: ``outcome`` is sent, retry or permanent."""

    started_at: datetime
    duration_s: float
    outcome: str
    http_status: int | None
    response: str


def enqueue(
    connection: Connection,
    receiver: str,
    group_key: str,
    payloads: Sequence[dict[str, Any]],
    now: datetime,
    context: Mapping[str, Any] | None = None,
    *,
    kind: str = ALERTS,
) -> list[str]:
    """Add messages behind those of their group, which the caller has locked; returns their ids.

    Args:
        context: by fingerprint, what texts say of the alerts besides the payload.
    """
    if not payloads:
        return []
    last = connection.scalar(
        select(func.max(Delivery.sequence)).where(
            Delivery.receiver == receiver, Delivery.group_key == group_key
        )
    )
    rows = [
        {
            "id": uuid.uuid4().hex,
            "receiver": receiver,
            "group_key": group_key,
            "sequence": number,
            "status": PENDING,
            "payload": payload,
            "kind": kind,
            "context": {
                alert["fingerprint"]: (context or {})[alert["fingerprint"]]
                for alert in payload["alerts"]
                if alert["fingerprint"] in (context or {})
            },
            "attempts": 0,
            "created_at": now,
            "next_attempt_at": now,
        }
        for number, payload in enumerate(payloads, (last or 0) + 1)
    ]
    connection.execute(insert(Delivery), rows)
    return [str(row["id"]) for row in rows]


def next_due(connection: Connection, receiver: str) -> tuple[str, datetime] | None:
    """The delivery of ``receiver`` that can be tried first, and when; None where none is left.

    One that another worker holds is due when its lease is over.
    """
    due_at = case(
        (Delivery.status == PENDING, Delivery.next_attempt_at), else_=Delivery.claimed_until
    )
    row = connection.execute(
        select(Delivery.id, due_at.label("due_at"))
        .where(Delivery.receiver == receiver, Delivery.status.in_(_UNFINISHED), ~_is_blocked())
        .order_by(due_at, Delivery.created_at, Delivery.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else (row.id, row.due_at)


def _is_blocked() -> ColumnElement[bool]:
    """An earlier message of the group is not finished."""
    earlier = aliased(Delivery)
    return (
        select(earlier.id)
        .where(
            earlier.receiver == Delivery.receiver,
            earlier.group_key == Delivery.group_key,
            earlier.sequence < Delivery.sequence,
            earlier.status.in_(_UNFINISHED),
        )
        .exists()
    )


def claim(
    connection: Connection,
    delivery_id: str,
    receiver: str,
    *,
    worker: str,
    now: datetime,
    until: datetime,
) -> Claim | None:
    """Own a delivery until ``until``; None where it isn't due, is blocked or is another's."""
    # which rows are blocked can't be part of the update: MySQL doesn't read the table it changes
    free = connection.scalar(
        select(Delivery.id).where(
            Delivery.id == delivery_id, Delivery.receiver == receiver, ~_is_blocked()
        )
    )
    if free is None:
        return None
    taken = connection.execute(
        update(Delivery)
        .where(
            Delivery.id == delivery_id,
            or_(
                and_(Delivery.status == PENDING, Delivery.next_attempt_at <= now),
                and_(Delivery.status == SENDING, Delivery.claimed_until < now),
            ),
        )
        .values(
            status=SENDING,
            claimed_by=worker,
            claimed_until=until,
            attempts=Delivery.attempts + 1,
        )
    )
    if taken.rowcount != 1:
        return None
    row = connection.execute(
        select(
            Delivery.group_key,
            Delivery.payload,
            Delivery.attempts,
            Delivery.created_at,
            Delivery.resent_at,
            Delivery.kind,
            Delivery.context,
        ).where(Delivery.id == delivery_id)
    ).one()
    return Claim(
        delivery_id,
        worker,
        row.group_key,
        row.payload,
        row.attempts,
        row.created_at,
        row.resent_at or row.created_at,
        row.kind,
        row.context,
    )


def record(
    connection: Connection, claimed: Claim, attempt: Attempt, *, retry_at: datetime | None
) -> str:
    """Write how a try went, and what becomes of the delivery; returns its status.

    It is tried again at ``retry_at``; None: not sent and never tried again is dead. A worker that
    has lost its lease changes nothing but this: what was sent is sent.
    """
    connection.execute(
        insert(DeliveryAttempt).values(
            delivery_id=claimed.id,
            number=claimed.attempt,
            started_at=attempt.started_at,
            duration_s=attempt.duration_s,
            outcome=attempt.outcome,
            http_status=attempt.http_status,
            response=attempt.response,
        )
    )
    ended_at = attempt.started_at + timedelta(seconds=attempt.duration_s)
    values: dict[str, Any] = {"claimed_by": None, "claimed_until": None}
    change = update(Delivery).where(Delivery.id == claimed.id)
    if attempt.outcome == SENT:
        status = SENT
        change = change.where(Delivery.status.in_(_UNFINISHED))
    else:
        status = DEAD if retry_at is None else PENDING
        change = change.where(Delivery.status == SENDING, Delivery.claimed_by == claimed.worker)
    if retry_at is None:
        values["finished_at"] = ended_at
    else:
        values["next_attempt_at"] = retry_at
    connection.execute(change.values(status=status, **values))
    return status


def resend(connection: Connection, delivery_id: str, *, now: datetime) -> bool:
    """Bring a dead delivery back, to be tried as if it were new; False where it isn't dead.

    Its id, and so its Idempotency-Key, stays the same.
    """
    changed = connection.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.status == DEAD)
        .values(status=PENDING, next_attempt_at=now, resent_at=now, finished_at=None)
    )
    return changed.rowcount == 1


def unfinished(connection: Connection, receivers: Sequence[str]) -> dict[str, int]:
    """Receiver → messages that wait to be delivered."""
    rows = connection.execute(
        select(Delivery.receiver, func.count().label("number"))
        .where(Delivery.receiver.in_(receivers), Delivery.status.in_(_UNFINISHED))
        .group_by(Delivery.receiver)
    )
    return {row.receiver: row.number for row in rows}


def created_since(connection: Connection, receiver: str, since: datetime) -> int:
    """How many messages to ``receiver`` were put into the outbox after ``since``."""
    query = select(func.count()).where(Delivery.receiver == receiver, Delivery.created_at > since)
    return int(connection.scalar(query) or 0)


def unfinished_kinds(connection: Connection, receiver: str) -> set[str]:
    """The kinds of the messages that wait to be delivered to ``receiver``."""
    query = select(Delivery.kind).where(
        Delivery.receiver == receiver, Delivery.status.in_(_UNFINISHED)
    )
    return set(connection.scalars(query.distinct()))
