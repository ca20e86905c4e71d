"""Who may do what: every route of the app, for strangers, keys and people."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from monitoring.api.access import Scope, requires
from monitoring.api.app import create_app
from monitoring.api.openapi import scope_of
from monitoring.api.store import get_store
from monitoring.keys import SCOPES, create_key, revoke_key

from tests.monitoring.api.logins import anyone, nobody, viewer
from userdb.store import Store

#: Open to strangers, and why.
OPEN = {
    ("POST", "/api/v1/callbacks"): "asks for the token out of a message",
    ("GET", "/alerts/ack"): "asks for the token out of a message",
    ("POST", "/alerts/ack"): "asks for the token out of a message",
    ("GET", "/health"): "probes have no key, and it tells nothing",
    ("GET", "/ready"): "probes have no key, and it tells nothing",
}


def routes(app: FastAPI) -> list[tuple[str, str, Scope | None]]:
    """Method, path and scope of every route."""
    found = []
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route} can't state its scope"
        for method in sorted(route.methods):
            found.append((method, route.path, scope_of(route)))
    return found


ALL = routes(create_app(login=nobody))
CLOSED = [route for route in ALL if route[:2] not in OPEN]


def address(path: str) -> str:
    return path.replace("{", "").replace("}", "")


def client_of(store: Store, login: object) -> Iterator[TestClient]:
    app = create_app(login=login)  # type: ignore[arg-type]
    app.dependency_overrides[get_store] = lambda: store
    yield TestClient(app, raise_server_exceptions=False)
    app.dependency_overrides.clear()


@pytest.fixture
def standalone(sqlite_store: Store) -> Iterator[TestClient]:
    yield from client_of(sqlite_store, None)


@pytest.fixture
def mounted(sqlite_store: Store) -> Iterator[TestClient]:
    yield from client_of(sqlite_store, nobody)


def key(store: Store, *scopes: str, name: str = "node-1", **given: object) -> dict[str, str]:
    """The header with a new key."""
    now = datetime.now(UTC)
    _, text = create_key(store, name, scopes, by="test", now=now, **given)  # type: ignore[arg-type]
    return {"Authorization": f"Bearer {text}"}


def test_only_the_named_routes_are_open() -> None:
    assert {route[:2] for route in ALL if route[2] is None} == set(OPEN)
    assert {"/openapi.json", "/api/v1/alerts", "/api/v1/status"} <= {path for _, path, _ in CLOSED}


@pytest.mark.parametrize("where", ["standalone", "mounted"])
def test_strangers_are_refused_everywhere(where: str, request: pytest.FixtureRequest) -> None:
    client: TestClient = request.getfixturevalue(where)
    for method, path, _scope in CLOSED:
        for headers in ({}, {"Authorization": "Bearer mon_00_11"}, {"X-API-Key": "x" * 10_000}):
            response = client.request(method, address(path), headers=headers)
            assert response.status_code == 401, f"{method} {path}: {response.text}"
            assert "Bearer" in response.headers.get("www-authenticate", "") or not headers
    for path in ("/docs", "/redoc"):
        assert client.get(path).status_code == 404


def test_a_key_of_every_other_scope_is_refused(standalone: TestClient, sqlite_store: Store) -> None:
    keys = {
        scope: key(sqlite_store, *(set(SCOPES) - {scope}), name=f"not-{scope.replace(':', '-')}")
        for scope in SCOPES
    }
    for method, path, scope in CLOSED:
        assert scope is not None
        response = standalone.request(method, address(path), headers=keys[scope])
        assert response.status_code == 403, f"{method} {path}: {response.text}"
        assert response.headers["content-type"] == "application/problem+json"
        assert scope in response.json()["detail"]


def test_people_who_only_read_are_refused_wherever_something_changes(sqlite_store: Store) -> None:
    (client,) = client_of(sqlite_store, viewer)
    for method, path, scope in CLOSED:
        response = client.request(method, address(path), headers={"Sec-Fetch-Site": "same-origin"})
        assert (response.status_code == 403) == (scope != "read"), f"{method} {path}"
        assert method == "GET" or scope != "read", f"{method} {path} changes what a reader may not"


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key", "X-Sentry-Auth", "sentry_key"])
def test_a_key_with_the_scope_is_let_in(
    standalone: TestClient, sqlite_store: Store, header: str
) -> None:
    text = key(sqlite_store, "read")["Authorization"].removeprefix("Bearer ")
    headers = {
        "Authorization": f"bearer {text}",
        "X-API-Key": text,
        "X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={text}, sentry_client=x/1",
    }
    if header == "sentry_key":
        response = standalone.get("/api/v1/alerts", params={"sentry_key": text})
    else:
        response = standalone.get("/api/v1/alerts", headers={header: headers[header]})
    assert (response.status_code, response.json()) == (200, [])


def test_an_expired_and_a_revoked_key_are_refused_with_the_reason(
    standalone: TestClient, sqlite_store: Store
) -> None:
    now = datetime.now(UTC)
    until = now + timedelta(seconds=1)
    expiring = key(sqlite_store, "read", name="short", expires_at=until)
    revoked = key(sqlite_store, "read", name="gone")
    for headers in (expiring, revoked):
        assert standalone.get("/api/v1/alerts", headers=headers).status_code == 200
    revoke_key(sqlite_store, "gone", by="test", now=now)
    time.sleep(1.1)  # a key that was recognised is good for a second
    for headers, word in ((expiring, "expired"), (revoked, "revoked")):
        response = standalone.get("/api/v1/alerts", headers=headers)
        assert response.status_code == 401
        assert word in response.json()["detail"]


def test_a_key_has_its_rate_and_no_other_key_feels_it(
    standalone: TestClient, sqlite_store: Store
) -> None:
    slow = key(sqlite_store, "read", name="slow", rate_limit="3/hour")
    other = key(sqlite_store, "read", name="other")
    codes = [standalone.get("/api/v1/alerts", headers=slow).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    refused = standalone.get("/api/v1/alerts", headers=slow)
    assert 3590 <= int(refused.headers["retry-after"]) <= 3600
    assert "slow" in refused.json()["detail"]
    assert standalone.get("/api/v1/alerts", headers=other).status_code == 200


def test_airflows_tokens_are_left_to_airflow_where_the_app_is_mounted(mounted: TestClient) -> None:
    response = mounted.get("/api/v1/alerts", headers={"Authorization": "Bearer eyJhbGciOi"})
    assert response.json()["detail"] == "Not authenticated"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://testserver"}, True),
        ({"Authorization": "Bearer of-airflow"}, True),
    ],
)
def test_another_sites_page_can_not_write_by_cookie(
    sqlite_store: Store, headers: dict[str, str], allowed: bool
) -> None:
    app = FastAPI()
    app.state.login = anyone

    @app.post("/act", dependencies=[Depends(requires("alerts:write"))])
    def act() -> str:
        return "done"

    code = TestClient(app, cookies={"_token": "x"}).post("/act", headers=headers).status_code
    assert code == (200 if allowed else 403)
