"""What runs once a minute: active checks, and cleaning up behind the leases.

Whoever reads judges leases for himself; upkeep deletes what is gone, and tells what changed, as
events of the source ``registry``. A service that its floor protects is told in every minute that
it lasts, so that an alert about it goes on just as long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.engine import Row

from monitoring.registry.checking import Target, check_all
from monitoring.registry.definition import HealthCheck
from monitoring.registry.lease import Judgement
from monitoring.registry.registration import remove_expired
from monitoring.registry.rows import judge_rows
from userdb.events import EventRecord, store_events
from userdb.models import Service, ServiceInstance
from userdb.store import Store
from userdb.times import to_minute

SOURCE = "registry"
#: Exception types of the events, by which policies tell them apart.
MASS_EXPIRY, UNHEALTHY, RECOVERED, DEREGISTERED = (
    "MassExpiry",
    "InstanceUnhealthy",
    "InstanceRecovered",
    "InstanceDeregistered",
)


@dataclass
class UpkeepReport:
    """Instances by what happened to them, and the services that their floor protects."""

    checked: int = 0
    failing: int = 0
    #: had a check, and no time was left for it
    unchecked: int = 0
    unhealthy: int = 0
    recovered: int = 0
    deregistered: int = 0
    protected: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def keep_up(store: Store, *, now: datetime, checks_for_s: float) -> UpkeepReport:
    """Check instances for at most ``checks_for_s`` seconds, then clean up as of ``now``.

    What comes in while checks run (a heartbeat, a registration) counts: each service is read again
    under its lock.
    """
    report = UpkeepReport()
    with store.read() as connection:
        targets = _targets(connection)
        names = connection.scalars(select(Service.name).order_by(Service.name)).all()
    results = check_all(targets, deadline_s=checks_for_s)
    report.checked = len(results)
    report.unchecked = len(targets) - len(results)
    report.failing = sum(why is not None for why in results.values())
    checked = {
        target.id: (target, results[target.id]) for target in targets if target.id in results
    }
    for name in names:
        found = store.write(partial(_service, name=name, checked=checked, now=now))
        report.unhealthy += found.unhealthy
        report.recovered += found.recovered
        report.deregistered += found.deregistered
        report.protected += found.protected
    return report


def _targets(connection: Connection) -> list[Target]:
    rows = connection.execute(
        select(
            ServiceInstance.id,
            ServiceInstance.address,
            ServiceInstance.port,
            ServiceInstance.health_check,
        ).order_by(ServiceInstance.id)
    )
    return [
        Target(row.id, row.address, row.port, HealthCheck.model_validate(row.health_check))
        for row in rows
        if row.health_check is not None
    ]


def _service(
    connection: Connection,
    name: str,
    checked: Mapping[str, tuple[Target, str | None]],
    now: datetime,
) -> UpkeepReport:
    """One service in one transaction."""
    report = UpkeepReport()
    service = connection.execute(
        select(Service.floor, Service.protected_at).where(Service.name == name).with_for_update()
    ).one_or_none()
    if service is None:
        return report
    for row in _instances(connection, name):
        if row.id in checked:
            _store_check(connection, row, *checked[row.id], now)
    rows = _instances(connection, name)
    judged = judge_rows(rows, floor=service.floor, now=now)
    events = list(_changes(connection, rows, judged, report, now))
    if judged.protected:
        report.protected.append(name)
        events.append(_mass_expiry(name, judged, len(rows), now))
    if judged.protected != (service.protected_at is not None):
        connection.execute(
            update(Service)
            .where(Service.name == name)
            .values(protected_at=now if judged.protected else None)
        )
    store_events(connection, events)
    return report


def _instances(connection: Connection, service: str) -> Sequence[Row[Any]]:
    return connection.execute(
        select(*ServiceInstance.__table__.c)
        .where(ServiceInstance.service == service)
        .order_by(ServiceInstance.id)
        .with_for_update()
    ).all()


def _store_check(
    connection: Connection, row: Row[Any], target: Target, why: str | None, now: datetime
) -> None:
    now_registered = (row.address, row.port, row.health_check)
    if now_registered != (target.address, target.port, target.check.model_dump()):
        return  # what was checked is there no more
    connection.execute(
        update(ServiceInstance)
        .where(ServiceInstance.id == row.id)
        .values(
            failed_checks=0 if why is None else row.failed_checks + 1,
            checked_at=now,
            check_message=why,
        )
    )


def _changes(
    connection: Connection,
    rows: Sequence[Row[Any]],
    judged: Judgement,
    report: UpkeepReport,
    now: datetime,
) -> Iterator[EventRecord]:
    """Write down what the instances have become, and tell of what changed."""
    for row in rows:
        verdict = judged.verdicts[row.id]
        if verdict.state == "gone":
            remove_expired(connection, row, now=now)
            report.deregistered += 1
            yield _event(row, DEREGISTERED, f"was deregistered: {verdict.reason}", "warning", now)
        elif verdict.state == "unhealthy" and row.unhealthy_at is None:
            _mark(connection, row, now)
            report.unhealthy += 1
            yield _event(row, UNHEALTHY, f"is unhealthy: {verdict.reason}", "warning", now)
        elif verdict.state == "healthy" and row.unhealthy_at is not None:
            _mark(connection, row, None)
            report.recovered += 1
            yield _event(row, RECOVERED, "is healthy again", "info", now)


def _mark(connection: Connection, row: Row[Any], at: datetime | None) -> None:
    connection.execute(
        update(ServiceInstance).where(ServiceInstance.id == row.id).values(unhealthy_at=at)
    )


def _event(row: Row[Any], kind: str, what: str, level: str, now: datetime) -> EventRecord:
    return EventRecord(
        event_id=_event_id(kind, row.id, now.isoformat()),
        event_type="custom",
        source=SOURCE,
        level=level,
        message=f"instance {row.instance_id} of {row.service} {what}",
        occurred_at=now,
        created_at=now,
        service=row.service,
        instance=row.instance_id[:255],
        container=row.container,
        exception_type=kind,
    )


def _mass_expiry(service: str, judged: Judgement, instances: int, now: datetime) -> EventRecord:
    return EventRecord(
        event_id=_event_id(MASS_EXPIRY, service, str(to_minute(now))),
        event_type="gateway",
        source=SOURCE,
        level="error",
        message=(
            f"{judged.healthy} of {instances} instances of {service} are healthy, and its floor "
            f"is {judged.needed}: nothing is deregistered, and unhealthy instances stay in service"
        ),
        detail={"healthy": judged.healthy, "instances": instances, "floor": judged.needed},
        occurred_at=now,
        created_at=now,
        service=service,
        exception_type=MASS_EXPIRY,
    )


def _event_id(*parts: str) -> str:
    """The same for the same occurrence, so that a task that is tried again tells it once."""
    return "registry-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
