"""The route table in userdb: unique names and matches, versions, and an audit of every change."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import Row

from monitoring.audit import record
from monitoring.routes.definition import RouteSpec
from monitoring.routes.overlap import Overlap, overlaps
from monitoring.unique import write_unique
from userdb.errors import (
    ConflictError,
    FieldError,
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
)
from userdb.models import Route, Service
from userdb.store import Store

_COLUMNS = tuple(Route.__table__.c)


@dataclass(frozen=True)
class StoredRoute:
    """A route of the table. ``version`` counts its changes, from 1."""

    id: str
    spec: RouteSpec
    version: int
    created_at: datetime
    updated_at: datetime
    updated_by: str


#: Says whether a route's version is one that the caller means to change.
Expected = Callable[[int], bool]


def create_route(
    store: Store, spec: RouteSpec, *, by: str, now: datetime
) -> tuple[StoredRoute, list[Overlap]]:
    """Add a route, and say which others overlap with it.

    Raises:
        ConflictError: another route has its name or its match; ``members["route"]`` says which.
        InvalidRequestError: its service doesn't exist.
    """
    mark = secrets.token_hex(8)

    def work(connection: Connection) -> tuple[StoredRoute, list[Overlap]]:
        _require_service(connection, spec)
        _require_unique(connection, spec, mark)
        row = {
            "id": mark,
            **_values(spec),
            "version": 1,
            "created_at": now,
            "updated_at": now,
            "updated_by": by,
        }
        connection.execute(insert(Route), [row])
        record(connection, "create", f"route/{mark}", by=by, now=now, after=spec.model_dump())
        return _with_overlaps(connection, mark)

    return write_unique(store, work)


def replace_route(
    store: Store,
    route: str,
    change: Callable[[RouteSpec], RouteSpec],
    *,
    expected: Expected | None = None,
    by: str,
    now: datetime,
) -> tuple[StoredRoute, list[Overlap]]:
    """Make the route with the id ``route`` what ``change`` makes of it.

    What changes nothing gets no new version.

    Raises:
        NotFoundError: there is no such route.
        PreconditionError: it has a version that isn't ``expected``.
        ConflictError, InvalidRequestError: see ``create_route``.
    """

    def work(connection: Connection) -> tuple[StoredRoute, list[Overlap]]:
        stored = _locked(connection, route, expected)
        spec = change(stored.spec)
        if spec != stored.spec:
            _require_service(connection, spec)
            _require_unique(connection, spec, route)
            connection.execute(
                update(Route)
                .where(Route.id == route)
                .values(**_values(spec), version=stored.version + 1, updated_at=now, updated_by=by)
            )
            record(
                connection,
                "update",
                f"route/{route}",
                by=by,
                now=now,
                before=stored.spec.model_dump(),
                after=spec.model_dump(),
            )
        return _with_overlaps(connection, route)

    return write_unique(store, work)


def delete_route(
    store: Store, route: str, *, expected: Expected | None = None, by: str, now: datetime
) -> None:
    """Take a route out of the table.

    Raises:
        NotFoundError: there is no such route.
        PreconditionError: it has a version that isn't ``expected``.
    """

    def work(connection: Connection) -> None:
        stored = _locked(connection, route, expected)
        connection.execute(delete(Route).where(Route.id == route))
        before = stored.spec.model_dump()
        record(connection, "delete", f"route/{route}", by=by, now=now, before=before)

    store.write(work)


def patched(changes: Mapping[str, Any]) -> Callable[[RouteSpec], RouteSpec]:
    """What ``replace_route`` makes of a route when only ``changes`` of it are given.

    The function raises InvalidRequestError where the whole is no route.
    """

    def change(spec: RouteSpec) -> RouteSpec:
        try:
            return RouteSpec.model_validate({**spec.model_dump(), **changes})
        except ValidationError as error:
            errors: list[FieldError] = [
                {"field": ".".join(map(str, issue["loc"])), "message": issue["msg"]}
                for issue in error.errors()
            ]
            listed = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
            raise InvalidRequestError(listed, errors=errors) from None

    return change


def find_route(connection: Connection, route: str) -> StoredRoute | None:
    """The route with the id ``route``."""
    row = connection.execute(select(*_COLUMNS).where(Route.id == route)).one_or_none()
    return None if row is None else _stored(row)


def get_route(connection: Connection, route: str) -> tuple[StoredRoute, list[Overlap]]:
    """A route, and which others overlap with it.

    Raises:
        NotFoundError: there is no such route.
    """
    return _with_overlaps(connection, route)


def list_routes(
    connection: Connection,
    *,
    after: str = "",
    limit: int | None = None,
    service: str | None = None,
    enabled: bool | None = None,
    host: str | None = None,
    name: str | None = None,
) -> list[StoredRoute]:
    """Routes by name.

    Args:
        after: leaves out this name and all before it.
        host: routes that name this very host or wildcard.
        name: what the name has to contain.
    """
    query = select(*_COLUMNS).where(Route.name > after).order_by(Route.name)
    if service is not None:
        query = query.where(Route.service == service)
    if enabled is not None:
        query = query.where(Route.enabled.is_(enabled))
    found: list[StoredRoute] = []
    for row in connection.execute(query):
        if limit is not None and len(found) == limit:
            break
        # not LIKE, which looks at the case on one database and not on the other
        if (host is None or host.lower() in row.hosts) and (name is None or name in row.name):
            found.append(_stored(row))
    return found


def _require_service(connection: Connection, spec: RouteSpec) -> None:
    # locked, so that it isn't deleted until the route is there to be seen
    known = connection.scalar(
        select(Service.name).where(Service.name == spec.service).with_for_update()
    )
    if known is None:
        message = f"there is no service {spec.service}; register an instance of it, or create it"
        raise InvalidRequestError(
            f"service: {message}", errors=[{"field": "service", "message": message}]
        )


def _require_unique(connection: Connection, spec: RouteSpec, route: str) -> None:
    rows = connection.execute(
        select(Route.id, Route.name, Route.match_key).where(
            Route.id != route, (Route.name == spec.name) | (Route.match_key == spec.match_key)
        )
    ).all()
    for row in sorted(rows, key=lambda row: row.name != spec.name):
        other = {"id": row.id, "name": row.name}
        if row.name == spec.name:
            raise ConflictError(
                f"there is a route named {spec.name} ({row.id}); change it, or choose another name",
                field="name",
                route=other,
            )
        raise ConflictError(
            f"the route {row.name} ({row.id}) matches the very same requests; change that one",
            field="match",
            route=other,
        )


def _locked(connection: Connection, route: str, expected: Expected | None) -> StoredRoute:
    row = connection.execute(
        select(*_COLUMNS).where(Route.id == route).with_for_update()
    ).one_or_none()
    if row is None:
        raise _unknown(route)
    if expected is not None and not expected(row.version):
        raise PreconditionError(
            f"the route {row.name} was changed by {row.updated_by} at "
            f"{row.updated_at.isoformat()}; read it again"
        )
    return _stored(row)


def _with_overlaps(connection: Connection, route: str) -> tuple[StoredRoute, list[Overlap]]:
    stored = find_route(connection, route)
    if stored is None:
        raise _unknown(route)
    return stored, overlaps(stored.spec, _specs(connection, but=route))


def _specs(connection: Connection, *, but: str) -> Iterator[RouteSpec]:
    query = select(*_COLUMNS).where(Route.id != but, Route.enabled.is_(True))
    for row in connection.execute(query):
        yield _stored(row).spec


def _values(spec: RouteSpec) -> dict[str, Any]:
    values = spec.model_dump(exclude={"timeout_s"})
    return {**values, "timeout_ms": spec.timeout_ms, "match_key": spec.match_key}


def _stored(row: Row[Any]) -> StoredRoute:
    timeout = row.timeout_ms
    return StoredRoute(
        id=row.id,
        # validated when it was written
        spec=RouteSpec.model_construct(
            name=row.name,
            hosts=row.hosts,
            path_type=row.path_type,
            path=row.path,
            methods=row.methods,
            headers=row.headers,
            service=row.service,
            priority=row.priority,
            strip_prefix=row.strip_prefix,
            timeout_s=None if timeout is None else timeout / 1000,
            enabled=row.enabled,
        ),
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )


def _unknown(route: str) -> NotFoundError:
    return NotFoundError(f"there is no route {route}")
