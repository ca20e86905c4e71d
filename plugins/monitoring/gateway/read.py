"""The snapshot out of userdb."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from monitoring.gateway.snapshot import Server, Snapshot, Upstream
from monitoring.registry.rows import ServiceState, read_services
from monitoring.routes.match import in_order
from monitoring.routes.table import list_routes


def read_snapshot(connection: Connection, *, now: datetime) -> Snapshot:
    """The table and the registry, judged at ``now``."""
    routes = tuple(in_order(one.spec for one in list_routes(connection)))
    services = read_services(connection, now=now, names={route.service for route in routes})
    return Snapshot(routes, {one.name: _upstream(one) for one in services})


def _upstream(service: ServiceState) -> Upstream:
    instances = service.in_service
    checks = {one.health_check for one in instances}
    return Upstream(
        servers=tuple(sorted(Server(one.address, one.port) for one in instances)),
        health_check=checks.pop() if len(checks) == 1 else None,
    )
