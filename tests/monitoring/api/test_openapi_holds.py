"""Whatever anyone sends: every operation answers as the API's own description says, and never 5xx.

schemathesis makes requests out of the description, those that fit it and those that don't, so
routes that are added are tested without a line here. Ids that exist are mixed in by the names of
parameters (``known``).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from monitoring.alerts.matchers import Matcher
from monitoring.alerts.search import list_alerts
from monitoring.alerts.silences import add_silence
from monitoring.api.app import create_app
from monitoring.api.openapi import describe
from monitoring.api.store import get_store
from monitoring.keys import SCOPES, create_key
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.monitoring.facts import T0, cover, put_requests
from tests.monitoring.test_history import POLICIES, quiet, run, timeouts, write_policies
from userdb.store import Store, open_store

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DESCRIBED = describe(create_app(login=None))["paths"]
OPERATIONS = [(method.upper(), path) for path, methods in DESCRIBED.items() for method in methods]
#: Kinds of bodies that schemathesis can't make: it is told to send any bytes as they are.
OTHER_KINDS = {
    kind
    for methods in DESCRIBED.values()
    for operation in methods.values()
    for kind in operation.get("requestBody", {}).get("content", {})
    if kind.startswith("application/x-") and kind != "application/x-www-form-urlencoded"
}


@schemathesis.serializer(*sorted(OTHER_KINDS))
def as_it_is(_context: Any, value: Any) -> bytes:
    value = getattr(value, "data", value)
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Served:
    """The app over a chain with alerts, its description, a key of all scopes, and ids."""

    app: FastAPI
    schema: Any
    headers: dict[str, str]
    known: dict[str, list[str]]


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    shutil.copyfile(sqlite_template, folder / "userdb.sqlite")
    store = open_store(f"sqlite:///{folder}/userdb.sqlite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONITORING_POLICIES", str(folder / "p"))
        known = fill(store, folder)
        _, key = create_key(
            store,
            "all",
            SCOPES,
            by="test",
            now=datetime.now(UTC),
            rate_limit="1000000/second",
        )
        app = create_app(login=None)
        app.dependency_overrides[get_store] = lambda: store
        headers = {"Authorization": f"Bearer {key}"}
        known |= register(TestClient(app, headers=headers))
        schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers)
        yield Served(app, schema, headers, known)
        app.dependency_overrides.clear()
    store.close()


def fill(store: Store, folder: Path) -> dict[str, list[str]]:
    """Alerts, evidence, a silence; returns what parameters may be by name."""
    loaded = write_policies(folder / "p", POLICIES)
    put_requests(store, quiet(*range(20)) | timeouts(*range(4, 9), *range(12, 20)))
    cover(store, T0 - 30, T0 + 20)
    run(store, loaded, T0, T0 + 20)
    now = datetime.now(UTC)
    silence = add_silence(
        store,
        [Matcher.parse("service=sim")],
        starts_at=now,
        ends_at=datetime(2100, 1, 1, tzinfo=UTC),
        author="x",
        comment="x",
        now=now,
    )
    with store.read() as connection:
        alerts = [one.id for one in list_alerts(connection)]
    return {
        "alert_id": alerts,
        "silence_id": [silence.id],
        "policy": ["timeouts"],
        "/api/v1/policies/{name} name": ["timeouts"],
        "/api/v1/signals/{name}/series name": ["requests.timeouts", "containers.cpu_percent"],
    }


def register(client: TestClient) -> dict[str, list[str]]:
    """Instances of a service, and routes to it; returns what parameters may be by name."""
    instances, routes = [], []
    for number in range(3):
        instance = {"service": "sim", "address": "10.0.0.7", "port": 8000 + number}
        answer = client.post("/register/", json=instance)
        instances.append(answer.json()["instance"]["id"])
        route = {"name": f"sim-{number}", "service": "sim", "path": f"/{number}"}
        routes.append(client.post("/routes/", json=route).json()["id"])
    return {
        "instance_id": instances,
        "route_id": routes,
        "/services/{name} name": ["sim"],
    }


def hold(served: Served, method: str, path: str, examples: int) -> None:
    operation = served.schema[path][method]
    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, choice=st.integers(0, 7))
    def answers(case: Any, choice: int) -> None:
        for parameters in (case.path_parameters, case.query):
            for name in parameters or ():
                ids = served.known.get(f"{path} {name}") or served.known.get(name, [])
                if choice < 6 and ids:
                    parameters[name] = ids[choice % len(ids)]
        response = case.call(headers=served.headers)
        case.validate_response(response, checks=CHECKS)

    answers()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_answers_as_it_is_described(served: Served, method: str, path: str) -> None:
    hold(served, method, path, examples=12)


#: What generators rarely come to: the ends of the calendar, bytes that are no text, depth, size.
TIMES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1970-01-01T00:00:00Z"]
TEXTS = ["", "%00", "%ED%A0%80", "%FF", "a" * 5000, "9" * 400, "-1", "NaN", "%F0%9F%98%80"]
BODIES = [
    b"",
    b"\xff\xfe",
    b"[" * 50_000,
    b'{"note": "\\ud800", "to": "\\u0000", "comment": "\\ud800"}',
    b'{"note": 1e999, "matchers": [NaN]}',
    b"null",
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_hostile_values_are_never_an_error_of_the_server(
    served: Served, method: str, path: str
) -> None:
    operation = served.schema.raw_schema["paths"][path][method.lower()]
    parameters = operation.get("parameters", [])
    address = path
    for one in parameters:
        if one["in"] == "path":
            ids = served.known.get(f"{path} {one['name']}") or served.known.get(one["name"], ["x"])
            address = address.replace(f"{{{one['name']}}}", ids[0])
    urls = [
        f"{address}?policy=timeouts&{one['name']}={value}"
        for one in parameters
        if one["in"] == "query"
        for value in (TIMES if "date-time" in str(one["schema"]) else TEXTS)
    ]
    urls += [
        path.replace(f"{{{one['name']}}}", text)
        for one in parameters
        if one["in"] == "path"
        for text in TEXTS[1:]
    ]
    client = TestClient(served.app, raise_server_exceptions=False, headers=served.headers)
    for url in urls:
        response = client.request(method, url.replace("+", "%2B"))
        assert response.status_code < 500, (url, response.text)
    if "requestBody" in operation:
        for body in BODIES:
            for kind in operation["requestBody"]["content"]:
                response = client.request(
                    method, address, content=body, headers={"Content-Type": kind}
                )
                assert response.status_code < 500, (body[:80], response.text)


@pytest.mark.nightly
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_answers_as_it_is_described_to_many_requests(
    served: Served, method: str, path: str
) -> None:
    hold(served, method, path, examples=100)
