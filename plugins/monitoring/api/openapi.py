"""The API's description: FastAPI's, with our errors in the place of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from monitoring.api.access import Requires, Scope
from monitoring.api.problems import Problem

_PROBLEM = {
    "description": "A problem document (RFC 9457) says what was wrong",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
#: What FastAPI would answer invalid requests with.
_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: every operation with its scope (``x-scope``) and its errors."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schemas["Problem"].pop("$defs", {}))
    for route, method in _operations(app):
        operation = document["paths"][route.path_format][method.lower()]
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = _PROBLEM
        scope = scope_of(route)
        if scope is not None:
            operation["x-scope"] = scope
    return document


def scope_of(route: APIRoute) -> Scope | None:
    """The scope that a route asks for; None where it is open."""
    return _scope(route.dependant)


def _operations(app: FastAPI) -> Iterator[tuple[APIRoute, str]]:
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods:
                yield route, method


def _scope(dependant: Dependant) -> Scope | None:
    for inner in dependant.dependencies:
        if isinstance(inner.call, Requires):
            return inner.call.scope
        if (scope := _scope(inner)) is not None:
            return scope
    return None
