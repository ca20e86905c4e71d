"""The registry as it was: which instance had an address, from when until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from monitoring.audit import versions
from monitoring.registry.definition import host_port
from monitoring.registry.rows import shown_instance
from userdb.models import ServiceInstance


@dataclass(frozen=True)
class InstanceVersion:
    """An instance at an ``endpoint`` (``address:port``), registered from ``begins`` (None: before
    the range) to ``ends`` (None: to this day), exclusive."""

    endpoint: str
    service: str
    instance_id: str
    begins: datetime | None
    ends: datetime | None


def instances_between(
    connection: Connection, start: datetime, end: datetime
) -> list[InstanceVersion]:
    """The instances that were registered in [start, end), whether their leases ran or not."""
    current = {
        f"instance/{row.id}": shown_instance(row._mapping)
        for row in connection.execute(select(*ServiceInstance.__table__.c))
    }
    return [
        InstanceVersion(
            host_port(one.state["address"], one.state["port"]),
            one.state["service"],
            one.state["instance_id"],
            one.begins,
            one.ends,
        )
        for one in versions(connection, "instance", current, start, end)
    ]
