"""Policies as they were, what was evaluated, and the evidence found."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from userdb.models.base import TABLE_OPTIONS, TIME_ORDERED, Base
from userdb.types import BigId, Blob, Float64, Json, UtcDateTime


class PolicyVersion(Base):
    """A definition that a policy had, and the evaluation time from which it was in force.

    ``definition`` is null where the policy was removed.
    """

    __tablename__ = "policy_version"
    __table_args__ = (UniqueConstraint("policy", "version"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    policy: Mapped[str] = mapped_column(String(128))
    version: Mapped[int] = mapped_column(Integer)
    definition: Mapped[dict[str, Any] | None] = mapped_column(Json)
    #: in force for evaluation times after it; minutes since 1970 UTC
    effective_minute: Mapped[int] = mapped_column(Integer)
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PolicyState(Base):
    """One row a policy: the lock that its fold holds, and how far it has come."""

    __tablename__ = "policy_state"
    __table_args__ = (TABLE_OPTIONS,)

    policy: Mapped[str] = mapped_column(String(128), primary_key=True)
    #: family of the signal's minute table; collectors mark policies of their family dirty
    family: Mapped[str] = mapped_column(String(16))
    #: newest evaluation time that was scored
    watermark: Mapped[int | None] = mapped_column(Integer)
    #: counts its scorings: who read facts before the lock sees whether another came in between
    generation: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    #: earliest and latest evaluation time whose score changed since the last fold; null when folded
    fold_from: Mapped[int | None] = mapped_column(Integer)
    fold_to: Mapped[int | None] = mapped_column(Integer)
    #: of a composite: evaluation times in (operands_from, operands_to] whose operands changed
    #: since it was last scored; null when it is up to date
    operands_from: Mapped[int | None] = mapped_column(Integer)
    operands_to: Mapped[int | None] = mapped_column(Integer)


class VersionOverride(Base):
    """A replay asked for this version at the evaluation times in (first_minute, last_minute].

    The newest override of a time holds; where there is none, the version that was in force.
    """

    __tablename__ = "version_override"
    __table_args__ = (Index(None, "policy"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    policy: Mapped[str] = mapped_column(String(128))
    first_minute: Mapped[int] = mapped_column(Integer)
    last_minute: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(Integer)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Evaluation(Base):
    """Ledger: evaluation times in (first_minute, last_minute] were scored.

    ``state`` is the checkpoint: the fold's state at ``last_minute``, null where not folded yet.
    """

    __tablename__ = "evaluation"
    __table_args__ = (TABLE_OPTIONS,)

    policy: Mapped[str] = mapped_column(String(128), primary_key=True)
    last_minute: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    first_minute: Mapped[int] = mapped_column(Integer)
    state: Mapped[dict[str, Any] | None] = mapped_column(Json)


class PolicyScore(Base):
    """Evidence: a maximal interval of evaluation times with one class, for one series.

    Clear is not stored. Unknown is stored once for the policy, with series 0. ``values`` holds
    the value at each evaluation of a breach or between interval as little-endian float64.
    """

    __tablename__ = "policy_score"
    __table_args__ = (TIME_ORDERED,)

    policy: Mapped[str] = mapped_column(String(128), primary_key=True)
    first_minute: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    last_minute: Mapped[int] = mapped_column(Integer)
    evaluation_class: Mapped[str] = mapped_column(String(16))
    extreme: Mapped[float | None] = mapped_column(Float64)
    values: Mapped[bytes | None] = mapped_column("value_array", Blob)
