"""Episodes of alerts, and their append-only history."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from userdb.models.base import TABLE_OPTIONS, Base
from userdb.types import BigId, Float64, Json, UtcDateTime


class Alert(Base):
    """An episode of a policy's series: from its first breaching evaluation to its end.

    ``id`` is a function of policy, labels and ``active_at``. ``superseded_at`` is set when late
    data showed that the episode never was.
    """

    __tablename__ = "alert"
    __table_args__ = (
        Index(None, "policy", "active_at"),
        Index(None, "state", "superseded_at"),
        Index(None, "resolved_at"),
        TABLE_OPTIONS,
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    policy: Mapped[str] = mapped_column(String(128))
    series_id: Mapped[int] = mapped_column(Integer)
    labels: Mapped[dict[str, str]] = mapped_column(Json)
    severity: Mapped[str] = mapped_column(String(16))
    #: pending, firing or resolved
    state: Mapped[str] = mapped_column(String(16))
    active_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: null for an episode that never fired
    fired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: the value when it fired, else when it became active
    value: Mapped[float | None] = mapped_column(Float64)
    #: of the version in force when it became active, rendered with labels and value
    annotations: Mapped[dict[str, str]] = mapped_column(Json)
    policy_version: Mapped[int] = mapped_column(Integer)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    superseded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AlertTransition(Base):
    """A change of an episode's state: true ``at`` event time, known since ``recorded_at``.

    Rows are never deleted: one that late data made untrue gets ``superseded_at``.
    """

    __tablename__ = "alert_transition"
    __table_args__ = (
        Index(None, "policy", "at"),
        Index(None, "alert_id"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    alert_id: Mapped[str] = mapped_column(String(32))
    policy: Mapped[str] = mapped_column(String(128))
    series_id: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: inactive, pending, firing
    from_state: Mapped[str] = mapped_column(String(16))
    #: pending, firing, resolved, inactive
    to_state: Mapped[str] = mapped_column(String(16))
    value: Mapped[float | None] = mapped_column(Float64)
    #: why: condition, recovered, no data, series gone, policy changed
    reason: Mapped[str] = mapped_column(String(32))
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    superseded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
