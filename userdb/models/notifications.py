"""What each receiver was told, what is on its way, and every try."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from userdb.models.base import TABLE_OPTIONS, Base
from userdb.types import BigId, Float64, Json, LongText, UtcDateTime


class NotificationGroup(Base):
    """What one receiver was last told of one group; locked while that is compared with now.

    ``told`` maps an alert's label fingerprint to {"status", "episode", "alert", "at"}: ``alert``
    as it was last sent, and when it was decided to tell that it fires.
    """

    __tablename__ = "notification_group"
    __table_args__ = (TABLE_OPTIONS,)

    receiver: Mapped[str] = mapped_column(String(128), primary_key=True)
    group_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    told: Mapped[dict[str, Any]] = mapped_column(Json)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: event time up to which the group was last looked at for group_interval
    flushed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: of no use: versions before this one wrote it
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: the group's route and labels; of a receiver's digests, what its limit holds back
    memo: Mapped[dict[str, Any] | None] = mapped_column(Json)


class Delivery(Base):
    """One message to one receiver. ``id`` is its Idempotency-Key."""

    __tablename__ = "delivery"
    __table_args__ = (
        Index(None, "status", "next_attempt_at"),
        Index(None, "receiver", "group_key"),
        TABLE_OPTIONS,
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    receiver: Mapped[str] = mapped_column(String(128))
    group_key: Mapped[str] = mapped_column(String(255))
    #: order within a receiver's group: an earlier message goes first
    sequence: Mapped[int] = mapped_column(Integer)
    #: pending, sending, sent or dead
    status: Mapped[str] = mapped_column(String(16))
    payload: Mapped[dict[str, Any]] = mapped_column(Json)
    #: alerts or digest
    kind: Mapped[str] = mapped_column(String(16))
    #: what texts say besides the payload, by the alert's fingerprint; as it was when decided
    context: Mapped[dict[str, Any]] = mapped_column(Json)
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime)
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: when somebody last sent it again by hand, after it was given up
    resent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class DeliveryAttempt(Base):
    """One try to send a delivery."""

    __tablename__ = "delivery_attempt"
    __table_args__ = (Index(None, "delivery_id"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    delivery_id: Mapped[str] = mapped_column(String(32))
    number: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    duration_s: Mapped[float] = mapped_column(Float64)
    #: sent, retry or permanent
    outcome: Mapped[str] = mapped_column(String(16))
    http_status: Mapped[int | None] = mapped_column(Integer)
    #: the response's first bytes, or the transport's error; without secrets
    response: Mapped[str | None] = mapped_column(LongText)


class Silence(Base):
    """Alerts that match are not told of while it holds: from ``starts_at`` to ``ends_at``.

    With a recurrence it holds only at the recurrence's times between these two: a maintenance
    window.
    """

    __tablename__ = "silence"
    __table_args__ = (Index(None, "ends_at"), TABLE_OPTIONS)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    #: texts like ``service="sim"``, all of which must match
    matchers: Mapped[list[str]] = mapped_column(Json)
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: null only with a recurrence: it goes on until it is expired
    ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: a time interval, as routing.yaml writes it
    recurrence: Mapped[dict[str, Any] | None] = mapped_column(Json)
    author: Mapped[str] = mapped_column(String(255))
    comment: Mapped[str] = mapped_column(LongText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: when somebody ended it early
    expired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expired_by: Mapped[str | None] = mapped_column(String(255))
