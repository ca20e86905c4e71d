"""Machines' credentials."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from userdb.models.base import Base
from userdb.types import Json, UtcDateTime


class ApiKey(Base):
    """A machine's key; of the key itself only its hash is kept."""

    __tablename__ = "api_key"

    #: the part of the key that is no secret
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    #: unique among all keys ever made, so that a name in an audit means one key
    name: Mapped[str] = mapped_column(String(128), unique=True)
    #: SHA-256 of the key's secret, in hex
    secret_hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(Json)
    #: like ``100/minute``; null: the server's default
    rate_limit: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(255))
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_by: Mapped[str | None] = mapped_column(String(255))
