"""docs/api.md and the API's own description say what the routes are."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi.routing import APIRoute
from monitoring.api.app import create_app
from monitoring.api.openapi import describe, scope_of

from tests.monitoring.api.logins import nobody

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
_ROW = re.compile(r"^\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)` \| (\S+) \| (.+) \|$", re.M)


def test_the_table_of_endpoints_is_that_of_the_app() -> None:
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    app = create_app(login=nobody)
    routes = {
        (method, route.path): scope_of(route)
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    assert {(method, path) for method, path, _, _ in rows} == set(routes)
    assert len(rows) == len(routes)
    for method, path, scope, _ in rows:
        stated = routes[method, path]
        assert scope == stated or (stated is None and scope in ("token", "open")), path
    assert [row[1] for row in rows] == sorted(
        (row[1] for row in rows), key=lambda path: (not path.startswith("/api"), path)
    )


def test_every_operation_is_described_with_its_errors_and_scope() -> None:
    document = describe(create_app(login=nobody))
    assert "Problem" in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation.get("description") or operation.get("summary"), where
            assert "application/problem+json" in operation["responses"]["default"]["content"], where
            assert ("x-scope" in operation) == ("security" in operation), where
