"""Routes: the gateway's route table."""

from __future__ import annotations

from copy import copy
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model
from pydantic_core import PydanticUndefined

from monitoring.api.access import Principal, requires
from monitoring.api.etag import IfMatch, etag, expected
from monitoring.api.paging import Cursor, cursor_after, read_cursor
from monitoring.api.store import ConnectionDep, StoreDep
from monitoring.routes.definition import RouteSpec
from monitoring.routes.overlap import Overlap
from monitoring.routes.table import (
    StoredRoute,
    create_route,
    delete_route,
    get_route,
    list_routes,
    patched,
    replace_route,
)

router = APIRouter(prefix="/routes", tags=["routes"])

Reader = Depends(requires("read"))
Writer = Annotated[Principal, Depends(requires("routes:write"))]
RouteId = Annotated[str, Path(max_length=16, examples=["9f3c1a5b7d2e4f60"])]

_MISSING: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such route"}}
_CHANGES: dict[int | str, dict[str, Any]] = {
    **_MISSING,
    409: {"description": "Another route has the name or the match; `route` says which"},
    412: {"description": "The route was changed in the meantime"},
}


class OverlapWarning(BaseModel):
    """Another enabled route that may be for the same requests."""

    route: str = Field(description="the other route's name", examples=["root"])
    winner: str = Field(description="name of the one that gets them", examples=["sim-api"])
    certain: bool = Field(description="false where regular expressions may exclude each other")
    message: str = Field(
        examples=[
            "requests that match sim-api and root: they go to sim-api, because its path is longer"
        ]
    )


class Route(RouteSpec):
    """A route of the table. ``path`` and ``hosts`` are as they were understood."""

    id: str = Field(examples=["9f3c1a5b7d2e4f60"])
    version: int = Field(description="counts the changes; the ETag is made of it")
    created_at: AwareDatetime
    updated_at: AwareDatetime
    updated_by: str = Field(examples=["key:deploy"])


class RouteWithWarnings(Route):
    """A route, and what to know of it."""

    warnings: list[OverlapWarning] = Field(description="overlaps: which route gets what both match")


class RoutePage(BaseModel):
    """Routes by name. ``next`` is the cursor of what follows, null at the end."""

    items: list[Route]
    next: str | None = None


def _optional_fields() -> dict[str, Any]:
    fields = {}
    for name, field in RouteSpec.model_fields.items():
        optional = copy(field)
        optional.default = PydanticUndefined
        # whether it was given is what counts; null is a value of timeout_s
        optional.default_factory = lambda: None
        fields[name] = (field.annotation, optional)
    return fields


if TYPE_CHECKING:
    RoutePatch = BaseModel
else:
    RoutePatch = create_model(
        "RoutePatch",
        __config__=ConfigDict(extra="forbid"),
        __doc__="What of a route is to change; what isn't named stays.",
        **_optional_fields(),
    )


@router.post("/", status_code=201, summary="Add a route", responses={409: _CHANGES[409]})
def create(
    spec: RouteSpec, principal: Writer, store: StoreDep, response: Response
) -> RouteWithWarnings:
    """Name and match are unique. Where routes overlap, the first in the table's order wins:
    higher priority, then hosts, path, methods and headers, the more specific first."""
    stored, warnings = create_route(store, spec, by=principal.name, now=datetime.now(UTC))
    response.headers["Location"] = stored.id
    return _answer(stored, warnings, response)


@router.get("/", summary="List routes", dependencies=[Reader])
def index(
    *,
    connection: ConnectionDep,
    service: Annotated[str | None, Query(max_length=128)] = None,
    enabled: bool | None = None,
    host: Annotated[
        str | None, Query(max_length=253, description="routes that name this very host")
    ] = None,
    name: Annotated[
        str | None, Query(max_length=128, description="what the name has to contain")
    ] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> RoutePage:
    """Routes by name, a page at a time."""
    found = list_routes(
        connection,
        after="" if cursor is None else read_cursor(cursor),
        limit=limit + 1,
        service=service,
        enabled=enabled,
        host=host,
        name=name,
    )
    more = len(found) > limit
    return RoutePage(
        items=[Route.model_construct(**_fields(one)) for one in found[:limit]],
        next=cursor_after(found[limit - 1].spec.name) if more else None,
    )


@router.get("/{route_id}", summary="A route", dependencies=[Reader], responses=_MISSING)
def show(route_id: RouteId, connection: ConnectionDep, response: Response) -> RouteWithWarnings:
    """A route with its ETag, and the overlaps that it has now."""
    return _answer(*get_route(connection, route_id), response)


@router.put("/{route_id}", summary="Replace a route", responses=_CHANGES)
def replace(
    *,
    route_id: RouteId,
    spec: RouteSpec,
    principal: Writer,
    store: StoreDep,
    response: Response,
    if_match: IfMatch = None,
) -> RouteWithWarnings:
    """What isn't named gets its default."""
    changed = replace_route(
        store,
        route_id,
        lambda _: spec,
        expected=expected(if_match),
        by=principal.name,
        now=datetime.now(UTC),
    )
    return _answer(*changed, response)


@router.patch("/{route_id}", summary="Change a route in part", responses=_CHANGES)
def change(
    *,
    route_id: RouteId,
    changes: RoutePatch,
    principal: Writer,
    store: StoreDep,
    response: Response,
    if_match: IfMatch = None,
) -> RouteWithWarnings:
    """What isn't named stays as it is. Lists and headers are replaced as a whole."""
    changed = replace_route(
        store,
        route_id,
        patched(changes.model_dump(exclude_unset=True)),
        expected=expected(if_match),
        by=principal.name,
        now=datetime.now(UTC),
    )
    return _answer(*changed, response)


@router.delete(
    "/{route_id}",
    status_code=204,
    summary="Delete a route",
    responses={status: _CHANGES[status] for status in (404, 412)},
)
def remove(
    *, route_id: RouteId, principal: Writer, store: StoreDep, if_match: IfMatch = None
) -> None:
    """Take it out of the table; its audit stays."""
    delete_route(
        store,
        route_id,
        expected=expected(if_match),
        by=principal.name,
        now=datetime.now(UTC),
    )


def _answer(stored: StoredRoute, warnings: list[Overlap], response: Response) -> RouteWithWarnings:
    response.headers["ETag"] = etag(stored.version)
    # validated when it was written
    return RouteWithWarnings.model_construct(
        **_fields(stored), warnings=[OverlapWarning(**asdict(one)) for one in warnings]
    )


def _fields(stored: StoredRoute) -> dict[str, Any]:
    return {
        **stored.spec.model_dump(),
        "id": stored.id,
        "version": stored.version,
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
        "updated_by": stored.updated_by,
    }
