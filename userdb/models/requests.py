"""Requests as logged by a gateway, and their counts per minute."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from userdb.latency import LATENCY_BOUNDS_MS, LATENCY_COLUMNS
from userdb.models.base import TABLE_OPTIONS, Base, partitioned
from userdb.types import Float64, UtcDateTime

__all__ = [
    "LATENCY_BOUNDS_MS",
    "LATENCY_COLUMNS",
    "OTHER_ROUTE",
    "OUTCOMES",
    "RequestLog",
    "RequestMinute",
    "SourceFile",
]

OUTCOMES = ("ok", "client_error", "auth_failure", "timeout", "server_error")
#: The route that request_minute counts all others as, where a minute has too many; no path is one,
#: as they begin with a slash. Raw requests keep their own.
OTHER_ROUTE = "{other}"


class SourceFile(Base):
    """A log file, known by its content: a SHA-256 of its first decompressed bytes.

    So app.log, app.log.1 and app.log.1.gz are one file, whatever the rotation named it.

    A row whose ``prefix_length`` is 0 is of a compressed file as it lies on disk, and says when it
    ends: ``prefix_hash`` is a mark of it, ``size`` its size, and it has no line from ``last_seen``
    on.
    """

    __tablename__ = "source_file"
    __table_args__ = (UniqueConstraint("source", "prefix_length", "prefix_hash"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    source: Mapped[str] = mapped_column(String(255))
    #: How many bytes the hash covers; it grows with a young file, up to 1024.
    prefix_length: Mapped[int] = mapped_column(Integer)
    prefix_hash: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(String(1024))
    size: Mapped[int] = mapped_column(BigInteger)
    first_seen: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen: Mapped[datetime] = mapped_column(UtcDateTime)


class RequestLog(Base):
    """One request. Its identity is where it was read: source file and byte offset."""

    __tablename__ = "request_log"
    __table_args__ = (
        Index(None, "file_id", "occurred_at"),
        partitioned("RANGE COLUMNS (occurred_at)"),
    )

    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    file_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    byte_offset: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(String(255))
    service: Mapped[str | None] = mapped_column(String(255))
    route: Mapped[str | None] = mapped_column(String(255))
    instance: Mapped[str | None] = mapped_column(String(255))
    method: Mapped[str | None] = mapped_column(String(32))
    host: Mapped[str | None] = mapped_column(String(255))
    path: Mapped[str | None] = mapped_column(String(2048))
    status: Mapped[int | None] = mapped_column(Integer)
    outcome: Mapped[str] = mapped_column(String(16))
    #: Which field decided the outcome, for example ``status=504``.
    outcome_reason: Mapped[str] = mapped_column(String(64))
    duration_ms: Mapped[float | None] = mapped_column(Float64)
    bytes_sent: Mapped[int | None] = mapped_column(BigInteger)
    client: Mapped[str | None] = mapped_column(String(64))
    user: Mapped[str | None] = mapped_column(String(255))
    user_agent: Mapped[str | None] = mapped_column(String(512))
    request_id: Mapped[str | None] = mapped_column(String(128))


class RequestMinute(Base):
    """Requests per minute, series and source file; readers sum over files."""

    __tablename__ = "request_minute"
    __table_args__ = (
        Index(None, "series_id", "minute"),
        Index(None, "file_id", "minute"),
        partitioned("RANGE (minute)"),
    )

    minute: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    file_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    requests: Mapped[int] = mapped_column(Integer)
    ok: Mapped[int] = mapped_column(Integer)
    client_error: Mapped[int] = mapped_column(Integer)
    auth_failure: Mapped[int] = mapped_column(Integer)
    timeout: Mapped[int] = mapped_column(Integer)
    server_error: Mapped[int] = mapped_column(Integer)
    bytes_sent: Mapped[int] = mapped_column(BigInteger)
    latency_count: Mapped[int] = mapped_column(Integer)
    latency_sum_ms: Mapped[float] = mapped_column(Float64)
    latency_max_ms: Mapped[float | None] = mapped_column(Float64)
    le_5: Mapped[int] = mapped_column(Integer)
    le_10: Mapped[int] = mapped_column(Integer)
    le_25: Mapped[int] = mapped_column(Integer)
    le_50: Mapped[int] = mapped_column(Integer)
    le_100: Mapped[int] = mapped_column(Integer)
    le_250: Mapped[int] = mapped_column(Integer)
    le_500: Mapped[int] = mapped_column(Integer)
    le_1000: Mapped[int] = mapped_column(Integer)
    le_2500: Mapped[int] = mapped_column(Integer)
    le_5000: Mapped[int] = mapped_column(Integer)
    le_10000: Mapped[int] = mapped_column(Integer)
    le_30000: Mapped[int] = mapped_column(Integer)
    le_60000: Mapped[int] = mapped_column(Integer)
    le_inf: Mapped[int] = mapped_column(Integer)
