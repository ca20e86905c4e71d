"""Instances come, renew their leases and go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import Row

from monitoring.audit import record
from monitoring.registry.definition import Registration, host_port
from monitoring.registry.rows import Instance, judge_rows, lease_of, read_service
from monitoring.registry.services import ensure_service
from monitoring.unique import write_unique
from userdb.errors import ConflictError, NotFoundError
from userdb.models import Service, ServiceInstance
from userdb.store import Store

_COLUMNS = tuple(ServiceInstance.__table__.c)
#: What an instance says of itself; a change of these is audited.
_DEFINED = (
    "address",
    "port",
    "container",
    "details",
    "ttl_s",
    "deregister_after_s",
    "health_check",
)


@dataclass(frozen=True)
class Registered:
    """The instance with its lease; ``created``: it was not registered before."""

    instance: Instance
    created: bool


def register(store: Store, asked: Registration, *, by: str, now: datetime) -> Registered:
    """Register an instance, or renew the lease of one that is. Its service is made if need be.

    An address whose holder's lease is over is free: the holder is deregistered.

    Raises:
        ConflictError: another instance, whose lease runs, has the address and port.
    """

    def work(connection: Connection) -> Registered:
        floor = ensure_service(connection, asked.service, by=by, now=now)
        _free_address(connection, asked, by=by, now=now)
        rows = connection.execute(
            select(*_COLUMNS).where(ServiceInstance.service == asked.service).with_for_update()
        ).all()
        judged = judge_rows(rows, floor=floor, now=now)
        known = next((row for row in rows if row.id == asked.id), None)
        if known is not None and judged.verdicts[known.id].state == "gone":
            _remove(connection, known, "expire", by=by, now=now)
            known = None
        if known is None:
            _insert(connection, asked, by=by, now=now)
        else:
            _renew(connection, known, asked, by=by, now=now)
        return Registered(_read(connection, asked.service, asked.id, now), created=known is None)

    return write_unique(store, work)


def heartbeat(store: Store, instance: str, *, now: datetime) -> Instance:
    """Renew the lease of the instance with the id ``instance``.

    Raises:
        NotFoundError: it isn't registered, or its lease has been over for too long. It has to
            register again.
    """

    def work(connection: Connection) -> Instance:
        row = _find(connection, instance)
        # a lease is never shortened by a heartbeat that was overtaken
        renewed = max(row.renewed_at, now)
        if now >= lease_of(row).forgotten_at and _is_gone(connection, row, now):
            raise _unknown(instance)
        changed = connection.execute(
            update(ServiceInstance).where(ServiceInstance.id == instance).values(renewed_at=renewed)
        ).rowcount
        if not changed:
            raise _unknown(instance)
        return _read(connection, row.service, instance, now)

    return store.write(work)


def deregister(store: Store, instance: str, *, by: str, now: datetime) -> None:
    """Forget an instance at once; no floor keeps what leaves by itself.

    Raises:
        NotFoundError: it isn't registered.
    """

    def work(connection: Connection) -> None:
        row = _find(connection, instance, lock=True)
        gone = now >= lease_of(row).forgotten_at and _is_gone(connection, row, now)
        _remove(connection, row, "expire" if gone else "deregister", by=by, now=now)

    store.write(work)


def remove_expired(connection: Connection, row: Row[Any], *, now: datetime) -> None:
    """Delete the row of an instance that is gone, as upkeep does."""
    _remove(connection, row, "expire", by="upkeep", now=now)


def _free_address(connection: Connection, asked: Registration, *, by: str, now: datetime) -> None:
    holder = connection.execute(
        select(*_COLUMNS)
        .where(
            ServiceInstance.address == asked.address,
            ServiceInstance.port == asked.port,
            ServiceInstance.id != asked.id,
        )
        .with_for_update()
    ).one_or_none()
    if holder is None:
        return
    lease = lease_of(holder)
    if lease.runs(now):
        raise ConflictError(
            f"{host_port(asked.address, asked.port)} belongs to the instance "
            f"{holder.instance_id} of {holder.service}, whose lease runs until "
            f"{lease.until.isoformat()}; deregister it, or register with another port",
            instance={
                "id": holder.id,
                "service": holder.service,
                "instance_id": holder.instance_id,
                "lease_until": lease.until.isoformat(),
            },
        )
    _remove(connection, holder, "deregister", by=by, now=now)


def _insert(connection: Connection, asked: Registration, *, by: str, now: datetime) -> None:
    defined = _definition(asked)
    row = {
        "id": asked.id,
        "service": asked.service,
        "instance_id": asked.instance,
        **defined,
        "registered_at": now,
        "registered_by": by,
        "renewed_at": now,
        "failed_checks": 0,
    }
    connection.execute(insert(ServiceInstance), [row])
    record(connection, "register", f"instance/{asked.id}", by=by, now=now, after=_shown(row))


def _renew(
    connection: Connection, known: Row[Any], asked: Registration, *, by: str, now: datetime
) -> None:
    defined = _definition(asked)
    changes = {name: value for name, value in defined.items() if getattr(known, name) != value}
    values: dict[str, Any] = {"renewed_at": max(known.renewed_at, now), **changes}
    if changes.keys() & {"address", "port", "health_check"}:
        # what failed was something else
        values |= {"failed_checks": 0, "checked_at": None, "check_message": None}
    connection.execute(
        update(ServiceInstance).where(ServiceInstance.id == known.id).values(**values)
    )
    if changes:
        before = _shown(known._mapping)
        record(
            connection,
            "update",
            f"instance/{known.id}",
            by=by,
            now=now,
            before=before,
            after={**before, **changes},
        )


def _remove(connection: Connection, row: Row[Any], action: str, *, by: str, now: datetime) -> None:
    connection.execute(delete(ServiceInstance).where(ServiceInstance.id == row.id))
    subject = f"instance/{row.id}"
    record(connection, action, subject, by=by, now=now, before=_shown(row._mapping))


def _definition(asked: Registration) -> dict[str, Any]:
    check = asked.health_check
    return {
        "address": asked.address,
        "port": asked.port,
        "container": asked.container,
        "details": asked.details,
        "ttl_s": asked.ttl_s,
        "deregister_after_s": asked.forget_after_s,
        "health_check": None if check is None else check.model_dump(),
    }


def _shown(row: Any) -> dict[str, Any]:
    """What the audit says of an instance."""
    return {name: row[name] for name in ("service", "instance_id", *_DEFINED)}


def _find(connection: Connection, instance: str, *, lock: bool = False) -> Row[Any]:
    query = select(*_COLUMNS).where(ServiceInstance.id == instance)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise _unknown(instance)
    return row


def _is_gone(connection: Connection, row: Row[Any], now: datetime) -> bool:
    """Whether upkeep would delete it now: a protected service's instances stay."""
    floor = connection.scalar(select(Service.floor).where(Service.name == row.service))
    rows = connection.execute(select(*_COLUMNS).where(ServiceInstance.service == row.service)).all()
    return judge_rows(rows, floor=floor or 0.0, now=now).verdicts[row.id].state == "gone"


def _read(connection: Connection, service: str, instance: str, now: datetime) -> Instance:
    state = read_service(connection, service, now=now)
    assert state is not None
    return next(one for one in state.instances if one.id == instance)


def _unknown(instance: str) -> NotFoundError:
    return NotFoundError(
        f"there is no instance {instance}: it never registered, or its lease was over for too "
        "long; register it"
    )
