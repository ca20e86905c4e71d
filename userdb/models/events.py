"""Events as reported, and their counts per minute."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from userdb.models.base import TABLE_OPTIONS, Base, partitioned
from userdb.types import BigId, Json, LongText, UtcDateTime

EVENT_TYPES = ("gateway", "container", "custom")
LEVELS = ("info", "warning", "error", "critical")


class MonitorEvent(Base):
    """One reported event. ``event_id`` makes reporting idempotent."""

    __tablename__ = "monitor_event"
    __table_args__ = (
        Index("ix_monitor_event_occurred_at", "occurred_at"),
        Index("ix_monitor_event_rolled_up", "rolled_up", "occurred_at"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(String(64), unique=True)
    event_type: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(255))
    level: Mapped[str] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(LongText)
    detail: Mapped[dict[str, Any] | None] = mapped_column(Json)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    service: Mapped[str | None] = mapped_column(String(255))
    instance: Mapped[str | None] = mapped_column(String(255))
    container: Mapped[str | None] = mapped_column(String(255))
    exception_type: Mapped[str | None] = mapped_column(String(255))
    fingerprint: Mapped[str | None] = mapped_column(String(32))
    #: False until the event is counted in event_minute. A flag and not an id cursor, because ids
    #: of concurrent transactions become visible out of order.
    rolled_up: Mapped[bool] = mapped_column(Boolean, default=False, server_default="0")


class EventMinute(Base):
    """Events per minute and series; minute ``m`` (minutes since 1970 UTC) holds [m, m+1)."""

    __tablename__ = "event_minute"
    __table_args__ = (Index(None, "series_id", "minute"), partitioned("RANGE (minute)"))

    minute: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    events: Mapped[int] = mapped_column(Integer)
