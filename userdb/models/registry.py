"""Services, their instances, the route table, and the audit of whoever changed them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from userdb.models.base import TABLE_OPTIONS, Base
from userdb.types import BigId, Float64, Json, UtcDateTime


class Service(Base):
    """A service: what routes lead to, and instances belong to."""

    __tablename__ = "service"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    #: share of its instances, 0 to 1, that stay in service whatever expires
    floor: Mapped[float] = mapped_column(Float64)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(255))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: since when upkeep has found fewer healthy instances than the floor; null: enough
    protected_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ServiceInstance(Base):
    """An instance and its lease. Whether the lease is over is judged when it is read."""

    __tablename__ = "service_instance"
    __table_args__ = (
        UniqueConstraint("service", "instance_id"),
        UniqueConstraint("address", "port"),
        Index(None, "container"),
        TABLE_OPTIONS,
    )

    #: a function of service and instance_id
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    service: Mapped[str] = mapped_column(String(128))
    instance_id: Mapped[str] = mapped_column(String(260))
    #: an IP address in its shortest form, or a host's name in lower case
    address: Mapped[str] = mapped_column(String(253))
    port: Mapped[int] = mapped_column(Integer)
    #: name of the container that it runs in, as container_sample's series have it
    container: Mapped[str | None] = mapped_column(String(255))
    #: what else its owner wants others to know
    details: Mapped[dict[str, str] | None] = mapped_column(Json)
    ttl_s: Mapped[int] = mapped_column(Integer)
    #: how long after the lease's end it is forgotten
    deregister_after_s: Mapped[int] = mapped_column(Integer)
    #: the definition of its active health check
    health_check: Mapped[dict[str, Any] | None] = mapped_column(Json)
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    registered_by: Mapped[str] = mapped_column(String(255))
    #: the newest registration or heartbeat
    renewed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: how many checks in a row have failed
    failed_checks: Mapped[int] = mapped_column(Integer)
    checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: why the newest check failed
    check_message: Mapped[str | None] = mapped_column(String(255))
    #: when upkeep found it unhealthy and told so; null: healthy
    unhealthy_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Route(Base):
    """A row of the route table: which requests go to which service."""

    __tablename__ = "route"
    __table_args__ = (Index(None, "service"), TABLE_OPTIONS)

    #: random, so that an id never means another route later
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    #: SHA-256 of what it matches
    match_key: Mapped[str] = mapped_column(String(64), unique=True)
    hosts: Mapped[list[str]] = mapped_column(Json)
    #: prefix, exact or regex
    path_type: Mapped[str] = mapped_column(String(8))
    path: Mapped[str] = mapped_column(String(1024))
    methods: Mapped[list[str]] = mapped_column(Json)
    headers: Mapped[dict[str, str]] = mapped_column(Json)
    service: Mapped[str] = mapped_column(String(128))
    priority: Mapped[int] = mapped_column(Integer)
    strip_prefix: Mapped[bool] = mapped_column(Boolean)
    #: how long the gateway waits for the service; null: its own default
    timeout_ms: Mapped[int | None] = mapped_column(Integer)
    enabled: Mapped[bool] = mapped_column(Boolean)
    #: counts its changes; the ETag
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_by: Mapped[str] = mapped_column(String(255))


class Audit(Base):
    """Who changed what, and when. Append-only."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "subject", "id"), Index(None, "at"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: key: or user: and a name, or ``upkeep``
    principal: Mapped[str] = mapped_column(String(255))
    #: create, update, delete, register, deregister or expire
    action: Mapped[str] = mapped_column(String(16))
    #: ``route/<id>``, ``service/<name>`` or ``instance/<id>``
    subject: Mapped[str] = mapped_column(String(160))
    #: as it was, null where it was not
    before: Mapped[dict[str, Any] | None] = mapped_column(Json)
    #: as it is, null where it is no more
    after: Mapped[dict[str, Any] | None] = mapped_column(Json)
