"""Episodes of alerts, and their append-only history."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from userdb.models.base import TABLE_OPTIONS, Base
from userdb.types import BigId, Float64, Json, LongText, UtcDateTime


class Alert(Base):
    """An episode of a policy's series: from its first breaching evaluation to its end.

    ``id`` is a function of policy, labels and ``active_at``. ``superseded_at`` is set when late
    data showed that the episode never was.
    """

    __tablename__ = "alert"
    __table_args__ = (
        Index(None, "policy", "active_at"),
        Index(None, "policy", "series_id"),
        Index(None, "state", "superseded_at"),
        Index(None, "resolved_at"),
        Index(None, "flapping_at"),
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
    #: since when its series has been flapping, where that began in this episode
    flapping_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: null while it flaps
    calm_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: the value when it fired, else when it became active
    value: Mapped[float | None] = mapped_column(Float64)
    #: of the version in force when it became active, rendered with labels and value
    annotations: Mapped[dict[str, str]] = mapped_column(Json)
    policy_version: Mapped[int] = mapped_column(Integer)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    superseded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AlertTransition(Base):
    """A change of an episode's state: true ``at`` event time, known since ``recorded_at``.

    Where both states are equal it is a mark: the reason says that flapping begins or ends.

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
    #: condition, recovered, no data, series gone, policy changed, resolved by hand, flapping, calm
    reason: Mapped[str] = mapped_column(String(32))
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    superseded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class OperatorAction(Base):
    """What an operator did about an episode, and when.

    It is about the series from ``span_from`` to ``span_to``: the episode as it was known when it
    was done. So it holds for whatever episodes late data makes of that one.
    """

    __tablename__ = "operator_action"
    __table_args__ = (
        Index(None, "policy", "at"),
        Index(None, "policy", "action", "at"),
        Index(None, "alert_id"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    policy: Mapped[str] = mapped_column(String(128))
    series_id: Mapped[int] = mapped_column(Integer)
    alert_id: Mapped[str] = mapped_column(String(32))
    #: acknowledge, unacknowledge, resolve, comment, assign, true_positive or false_positive
    action: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    span_from: Mapped[datetime] = mapped_column(UtcDateTime)
    #: the episode's end where it was over, else ``at``
    span_to: Mapped[datetime] = mapped_column(UtcDateTime)
    #: the episode's severity then: an acknowledgement doesn't hold for a worse one
    severity: Mapped[str | None] = mapped_column(String(16))
    author: Mapped[str] = mapped_column(String(255))
    #: of assign: the person
    assignee: Mapped[str | None] = mapped_column(String(255))
    note: Mapped[str | None] = mapped_column(LongText)
