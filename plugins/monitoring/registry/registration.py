"""Instances come, renew their leases and go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import Row

from monitoring.audit import record
from monitoring.registry.definition import Registration, host_port
from monitoring.registry.rows import (
    Instance,
    judge_row,
    lease_of,
    read_instance,
    shown_instance,
)
from monitoring.registry.services import ensure_service
from monitoring.unique import write_unique
from userdb.errors import ConflictError, NotFoundError
from userdb.models import ServiceInstance
from userdb.store import Store

_COLUMNS = tuple(ServiceInstance.__table__.c)


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
        ensure_service(connection, asked.service, by=by, now=now)
        _free_address(connection, asked, by=by, now=now)
        known = _row(connection, asked.id)
        if known is not None and judge_row(connection, known, now=now).state == "gone":
            _remove(connection, known, "expire", by=by, now=now)
            known = None
        if known is None:
            _insert(connection, asked, by=by, now=now)
        else:
            _renew(connection, known, asked, by=by, now=now)
        return Registered(_read(connection, asked.id, now), created=known is None)

    return write_unique(store, work)


def heartbeat(store: Store, instance: str, *, now: datetime) -> Instance:
    """Renew the lease of the instance with the id ``instance``.

    Raises:
        NotFoundError: it isn't registered, or its lease has been over for too long. It has to
            register again.
    """

    def work(connection: Connection) -> Instance:
        # locked, so that upkeep doesn't delete it meanwhile
        row = _find(connection, instance)
        if judge_row(connection, row, now=now).state == "gone":
            raise _unknown(instance)
        connection.execute(
            update(ServiceInstance)
            .where(ServiceInstance.id == instance)
            # a lease is never shortened by a heartbeat that was overtaken
            .values(renewed_at=max(row.renewed_at, now))
        )
        return _read(connection, instance, now)

    return store.write(work)


def deregister(store: Store, instance: str, *, by: str, now: datetime) -> None:
    """Forget an instance at once; no floor keeps what leaves by itself.

    Raises:
        NotFoundError: it isn't registered.
    """

    def work(connection: Connection) -> None:
        row = _find(connection, instance)
        gone = judge_row(connection, row, now=now).state == "gone"
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
    record(
        connection, "register", f"instance/{asked.id}", by=by, now=now, after=shown_instance(row)
    )


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
        before = shown_instance(known._mapping)
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
    record(connection, action, subject, by=by, now=now, before=shown_instance(row._mapping))


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


def _find(connection: Connection, instance: str) -> Row[Any]:
    row = _row(connection, instance)
    if row is None:
        raise _unknown(instance)
    return row


def _row(connection: Connection, instance: str) -> Row[Any] | None:
    """The instance's row, locked."""
    return connection.execute(
        select(*_COLUMNS).where(ServiceInstance.id == instance).with_for_update()
    ).one_or_none()


def _read(connection: Connection, instance: str, now: datetime) -> Instance:
    found = read_instance(connection, instance, now=now)
    assert found is not None
    return found


def _unknown(instance: str) -> NotFoundError:
    return NotFoundError(
        f"there is no instance {instance}: it never registered, or its lease was over for too "
        "long; register it"
    )
