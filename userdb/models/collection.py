"""Label sets, the ledger of collections, how far back facts are whole, and which changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from userdb.models.base import TABLE_OPTIONS, Base
from userdb.types import BigId, Float64, Json, LongText, UtcDateTime


class Series(Base):
    """A label set of one family, once. Unique by the fingerprint of its labels."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("family", "fingerprint"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    #: event, request, container: a minute table's rows; group: what a policy groups them to
    family: Mapped[str] = mapped_column(String(16))
    fingerprint: Mapped[str] = mapped_column(String(16))
    labels: Mapped[dict[str, str]] = mapped_column(Json)
    #: first and last minute with a sample, null for family ``group``
    first_minute: Mapped[int | None] = mapped_column(Integer)
    last_minute: Mapped[int | None] = mapped_column(Integer)


class Collection(Base):
    """Ledger: one row a source of each attempt to collect a window."""

    __tablename__ = "collection"
    __table_args__ = (
        Index(None, "collector", "window_end"),
        Index(None, "attempt"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    #: rows of one attempt share it: they are the sources that were configured then
    attempt: Mapped[str] = mapped_column(String(32))
    collector: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(255))
    window_start: Mapped[datetime] = mapped_column(UtcDateTime)
    window_end: Mapped[datetime] = mapped_column(UtcDateTime)
    #: ok, failed, or unavailable (the source can't tell about that window any more)
    status: Mapped[str] = mapped_column(String(16))
    rows: Mapped[int] = mapped_column("row_count", BigInteger)
    rejected: Mapped[int] = mapped_column(BigInteger)
    late: Mapped[int] = mapped_column(BigInteger)
    #: up to ten rejected inputs: {"where", "why", "text"}
    samples: Mapped[list[dict[str, Any]] | None] = mapped_column(Json)
    message: Mapped[str | None] = mapped_column(LongText)
    run_id: Mapped[str | None] = mapped_column(String(255))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    duration_s: Mapped[float] = mapped_column(Float64)


class RetentionFloor(Base):
    """How far back the minutes of a family are whole: what was purged lies before ``first_minute``.

    It is written with, and before, the first deletion, and never lowered. No row: nothing was
    purged.
    """

    __tablename__ = "retention_floor"
    __table_args__ = (TABLE_OPTIONS,)

    family: Mapped[str] = mapped_column(String(16), primary_key=True)
    first_minute: Mapped[int] = mapped_column(Integer)


class Dirty(Base):
    """Minutes whose facts or coverage changed, per policy, until its next scoring takes them in."""

    __tablename__ = "dirty"
    __table_args__ = (Index(None, "policy"), TABLE_OPTIONS)

    token: Mapped[str] = mapped_column(String(32), primary_key=True)
    policy: Mapped[str] = mapped_column(String(128))
    first_minute: Mapped[int] = mapped_column(Integer)
    last_minute: Mapped[int] = mapped_column(Integer)
