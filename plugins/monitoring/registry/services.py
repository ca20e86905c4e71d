"""Services are made, set and deleted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from monitoring.audit import record
from monitoring.registry.definition import DEFAULT_FLOOR, ServiceSettings
from monitoring.registry.rows import ServiceState, read_service, shown_instance
from monitoring.unique import write_unique
from userdb.errors import ConflictError, NotFoundError
from userdb.models import Route, Service, ServiceInstance
from userdb.store import Store


def ensure_service(connection: Connection, name: str, *, by: str, now: datetime) -> float:
    """Make the service where there is none, lock it, and return its floor. See write_unique."""
    floor = _locked_floor(connection, name)
    if floor is not None:
        return floor
    row = {
        "name": name,
        "floor": DEFAULT_FLOOR,
        "created_at": now,
        "created_by": by,
        "updated_at": now,
    }
    # refused where somebody makes it at the same time: write_unique tries again, and finds it
    connection.execute(insert(Service), [row])
    after = {"floor": DEFAULT_FLOOR}
    record(connection, "create", f"service/{name}", by=by, now=now, after=after)
    return DEFAULT_FLOOR


def set_service(
    store: Store, name: str, settings: ServiceSettings, *, by: str, now: datetime
) -> tuple[ServiceState, bool]:
    """Make the service with ``settings``, or change them. The flag says that it is new."""

    def work(connection: Connection) -> tuple[ServiceState, bool]:
        created = _locked_floor(connection, name) is None
        floor = ensure_service(connection, name, by=by, now=now)
        if floor != settings.floor:
            connection.execute(
                update(Service)
                .where(Service.name == name)
                .values(floor=settings.floor, updated_at=now)
            )
            record(
                connection,
                "update",
                f"service/{name}",
                by=by,
                now=now,
                before={"floor": floor},
                after={"floor": settings.floor},
            )
        state = read_service(connection, name, now=now)
        assert state is not None
        return state, created

    return write_unique(store, work)


def delete_service(store: Store, name: str, *, by: str, now: datetime) -> None:
    """Delete a service and its instances.

    Raises:
        NotFoundError: there is no such service.
        ConflictError: routes lead to it; ``members["routes"]`` has id and name of each.
    """

    def work(connection: Connection) -> None:
        floor = _locked_floor(connection, name)
        if floor is None:
            raise NotFoundError(f"there is no service {name}")
        routes = [
            {"id": row.id, "name": row.name}
            for row in connection.execute(
                select(Route.id, Route.name).where(Route.service == name).order_by(Route.name)
            )
        ]
        if routes:
            listed = ", ".join(route["name"] for route in routes)
            raise ConflictError(
                f"{len(routes)} routes lead to the service {name}: {listed}; delete them, or lead "
                "them elsewhere, first",
                routes=routes,
            )
        instances = connection.execute(
            select(*ServiceInstance.__table__.c)
            .where(ServiceInstance.service == name)
            .order_by(ServiceInstance.instance_id)
        ).all()
        for row in instances:
            before = shown_instance(row._mapping)
            record(connection, "deregister", f"instance/{row.id}", by=by, now=now, before=before)
        connection.execute(delete(ServiceInstance).where(ServiceInstance.service == name))
        connection.execute(delete(Service).where(Service.name == name))
        before = {"floor": floor, "instances": [row.instance_id for row in instances]}
        record(connection, "delete", f"service/{name}", by=by, now=now, before=before)

    store.write(work)


def _locked_floor(connection: Connection, name: str) -> float | None:
    """The service's floor, None where there is none. Whoever changes it waits for this one."""
    return connection.scalar(select(Service.floor).where(Service.name == name).with_for_update())
