"""Services and instances as userdb has them, judged at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.engine import Row

from monitoring.registry.definition import HealthCheck, host_port
from monitoring.registry.lease import HEALTHY, Judgement, Lease, State, Verdict, judge
from userdb.models import Service, ServiceInstance

_SHOWN = (
    "service",
    "instance_id",
    "address",
    "port",
    "container",
    "details",
    "ttl_s",
    "deregister_after_s",
    "health_check",
)


@dataclass(frozen=True)
class Instance:
    """An instance at the time when it was judged.

    Attributes:
        lease_until: healthy until then if no heartbeat comes.
        in_service: gateways send it requests.
        reason: why it isn't healthy.
    """

    id: str
    service: str
    instance_id: str
    address: str
    port: int
    container: str | None
    details: dict[str, str] | None
    ttl_s: int
    deregister_after_s: int
    health_check: HealthCheck | None
    registered_at: datetime
    registered_by: str
    renewed_at: datetime
    lease_until: datetime
    checked_at: datetime | None
    check_message: str | None
    state: State
    in_service: bool
    reason: str

    @property
    def endpoint(self) -> str:
        """``address:port``, as URLs and configurations have it."""
        return host_port(self.address, self.port)


@dataclass(frozen=True)
class ServiceState:
    """A service at a time, with its instances that aren't gone, by instance id.

    Attributes:
        needed: how many instances the floor keeps in service.
        protected: fewer than that are healthy, so that unhealthy ones are kept.
    """

    name: str
    floor: float
    created_at: datetime
    created_by: str
    updated_at: datetime
    healthy: int
    needed: int
    protected: bool
    instances: tuple[Instance, ...]

    @property
    def in_service(self) -> tuple[Instance, ...]:
        return tuple(one for one in self.instances if one.in_service)


def shown_instance(row: Any) -> dict[str, Any]:
    """What the audit says of an instance: a change of this is audited."""
    return {name: row[name] for name in _SHOWN}


def read_services(
    connection: Connection, *, now: datetime, names: Iterable[str] | None = None
) -> list[ServiceState]:
    """All services, or those of ``names`` that exist, by name, judged at ``now``."""
    services = select(*Service.__table__.c).order_by(Service.name)
    instances = select(*ServiceInstance.__table__.c).order_by(
        ServiceInstance.service, ServiceInstance.instance_id
    )
    if names is not None:
        wanted = sorted(set(names))
        services = services.where(Service.name.in_(wanted))
        instances = instances.where(ServiceInstance.service.in_(wanted))
    rows: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(instances):
        rows[row.service].append(row)
    return [_service(row, rows[row.name], now) for row in connection.execute(services)]


def read_service(connection: Connection, name: str, *, now: datetime) -> ServiceState | None:
    """One service, judged at ``now``; None where there is none."""
    return next(iter(read_services(connection, now=now, names=[name])), None)


def read_instance(connection: Connection, instance: str, *, now: datetime) -> Instance | None:
    """The instance with the id ``instance``, judged at ``now``; None where it has no row.

    What is healthy is so whatever the others are: they are read only where it is not.
    """
    row = connection.execute(
        select(*ServiceInstance.__table__.c).where(ServiceInstance.id == instance)
    ).one_or_none()
    return None if row is None else _instance(row, judge_row(connection, row, now=now))


def judge_row(connection: Connection, row: Row[Any], *, now: datetime) -> Verdict:
    """What an instance is, by its row."""
    if lease_of(row).is_healthy(now):
        return HEALTHY
    floor = connection.scalar(select(Service.floor).where(Service.name == row.service))
    rows = connection.execute(
        select(*ServiceInstance.__table__.c).where(ServiceInstance.service == row.service)
    ).all()
    return judge_rows(rows, floor=floor or 0.0, now=now).verdicts[row.id]


def judge_rows(rows: Sequence[Row[Any]], *, floor: float, now: datetime) -> Judgement:
    """Judge the rows of one service's instances."""
    return judge([lease_of(row) for row in rows], floor=floor, now=now)


def lease_of(row: Row[Any]) -> Lease:
    check = row.health_check
    return Lease(
        id=row.id,
        renewed_at=row.renewed_at,
        ttl_s=row.ttl_s,
        deregister_after_s=row.deregister_after_s,
        failed_checks=row.failed_checks,
        failures_allowed=None if check is None else HealthCheck.model_validate(check).failures,
    )


def _service(row: Row[Any], instances: Sequence[Row[Any]], now: datetime) -> ServiceState:
    judged = judge_rows(instances, floor=row.floor, now=now)
    return ServiceState(
        name=row.name,
        floor=row.floor,
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        healthy=judged.healthy,
        needed=judged.needed,
        protected=judged.protected,
        instances=tuple(
            _instance(one, judged.verdicts[one.id])
            for one in instances
            if judged.verdicts[one.id].state != "gone"
        ),
    )


def _instance(row: Row[Any], verdict: Verdict) -> Instance:
    return Instance(
        id=row.id,
        service=row.service,
        instance_id=row.instance_id,
        address=row.address,
        port=row.port,
        container=row.container,
        details=row.details,
        ttl_s=row.ttl_s,
        deregister_after_s=row.deregister_after_s,
        health_check=(
            None if row.health_check is None else HealthCheck.model_validate(row.health_check)
        ),
        registered_at=row.registered_at,
        registered_by=row.registered_by,
        renewed_at=row.renewed_at,
        lease_until=lease_of(row).until,
        checked_at=row.checked_at,
        check_message=row.check_message,
        state=verdict.state,
        in_service=verdict.in_service,
        reason=verdict.reason,
    )
