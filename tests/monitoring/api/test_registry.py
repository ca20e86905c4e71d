"""Registration and services over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from monitoring.api.app import create_app
from monitoring.api.language import Language, preferred
from monitoring.api.store import get_store
from sqlalchemy import insert

from tests.monitoring.api.logins import anyone
from userdb.models import Alert, ContainerSample
from userdb.series import intern_series, touch_series
from userdb.store import Store
from userdb.times import to_minute

BODY = {"service": "sim", "instance_id": "sim-1", "address": "10.0.0.7", "port": 8080}


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    app = create_app(login=anyone)
    app.dependency_overrides[get_store] = lambda: store
    headers = {"Sec-Fetch-Site": "same-origin"}
    yield TestClient(app, headers=headers, raise_server_exceptions=False)
    app.dependency_overrides.clear()


def enrol(client: TestClient, **given: Any) -> dict[str, Any]:
    response = client.post("/register/", json={**BODY, **given})
    assert response.status_code in (200, 201), response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "注册成功"),
        ("*", "注册成功"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "注册成功"),
        ("en-US,en;q=0.9,zh;q=0.8", "registered"),
        ("fr", "registered"),
    ],
)
def test_registering_answers_in_the_callers_language_with_the_lease(
    client: TestClient, header: str | None, message: str
) -> None:
    headers = {} if header is None else {"Accept-Language": header}
    # httpx' own default names no language
    first = client.post("/register/", json=BODY, headers=headers)
    again = client.post("/register/", json=BODY, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    for answer in (first.json(), again.json()):
        assert answer["message"] == message
        lease = answer["instance"]
        until = datetime.fromisoformat(lease["lease_until"])
        assert until - datetime.fromisoformat(lease["renewed_at"]) == timedelta(seconds=30)
        assert (lease["state"], lease["in_service"]) == ("healthy", True)
    assert first.json()["instance"]["id"] == again.json()["instance"]["id"]
    assert len(client.get("/services/sim").json()["instances"]) == 1


@pytest.mark.parametrize(
    ("header", "default", "language"),
    [
        ("", "zh", "zh"),
        ("", "en", "en"),
        ("de, zh-TW;q=0.5, en;q=0.4", "en", "zh"),
        ("zh;q=0, en;q=0.1", "zh", "en"),
        ("en;q=x, zh", "en", "zh"),
    ],
)
def test_the_language_that_is_asked_for_first_counts(
    header: str, default: Language, language: str
) -> None:
    assert preferred(header, default=default) == language


def test_all_field_errors_come_at_once(client: TestClient) -> None:
    response = client.post("/register/", json={"service": "", "address": "x y", "port": 70000})
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["service", "address", "port"]


def test_an_address_that_is_taken_is_a_conflict_that_names_the_holder(client: TestClient) -> None:
    holder = enrol(client)["instance"]
    response = client.post("/register/", json={**BODY, "service": "web"})
    assert response.status_code == 409
    assert response.json()["instance"]["id"] == holder["id"]
    assert "sim-1" in response.json()["detail"]


def test_an_instance_renews_and_leaves(client: TestClient) -> None:
    instance = enrol(client)["instance"]["id"]
    renewed = client.put(f"/register/{instance}/heartbeat")
    assert (renewed.status_code, renewed.json()["state"]) == (200, "healthy")
    assert client.delete(f"/register/{instance}").status_code == 204
    for response in (
        client.delete(f"/register/{instance}"),
        client.put(f"/register/{instance}/heartbeat"),
    ):
        assert response.status_code == 404
        assert "register it" in response.json()["detail"]
    assert client.get("/services/sim").json()["instances"] == []


def test_a_service_that_routes_use_is_not_deleted(client: TestClient) -> None:
    enrol(client)
    made = [
        client.post("/routes/", json={"name": name, "path": f"/{name}", "service": "sim"}).json()
        for name in ("b", "a")
    ]
    refused = client.delete("/services/sim")
    assert refused.status_code == 409
    assert refused.json()["routes"] == [
        {"id": made[1]["id"], "name": "a"},
        {"id": made[0]["id"], "name": "b"},
    ]
    for route in made:
        assert client.delete(f"/routes/{route['id']}").status_code == 204
    assert client.delete("/services/sim").status_code == 204
    assert client.get("/services/sim").status_code == 404
    assert client.delete("/services/sim").status_code == 404


def test_a_service_is_set(client: TestClient) -> None:
    assert client.put("/services/sim", json={"floor": 0.8}).status_code == 201
    changed = client.put("/services/sim", json={"floor": 0.2})
    assert (changed.status_code, changed.json()["floor"]) == (200, 0.2)
    assert client.put("/services/sim", json={"floor": 2}).status_code == 422
    assert client.put("/services/a%20b", json={}).status_code == 422
    assert [one["name"] for one in client.get("/services/").json()["items"]] == ["sim"]


def test_a_containers_trouble_is_its_services(client: TestClient, store: Store) -> None:
    enrol(client, container="sim-container")
    now = datetime.now(UTC)

    def trouble(connection: Any) -> None:
        labels = [
            {"container": "sim-container", "image": "old", "host": "h"},
            {"container": "sim-container", "image": "new", "host": "h"},
            {"container": "other", "image": "new", "host": "h"},
        ]
        ids = intern_series(connection, "container", labels)
        for age, (series, state) in enumerate(
            zip(ids.values(), ("exited", "running", "running"), strict=True)
        ):
            sample = {
                "minute": to_minute(now) - age,
                "series_id": series,
                "observed_at": now - timedelta(minutes=age),
                "container_id": "c",
                "state": state,
                "exit_code": 137,
                "restarts": 0,
                "running": 0,
            }
            connection.execute(insert(ContainerSample), [sample])
            touch_series(connection, {series: (to_minute(now) - age, to_minute(now) - age)})
        for number, (state, given) in enumerate(
            [
                ("firing", {"container": "sim-container"}),
                ("pending", {"service": "sim"}),
                ("resolved", {"service": "sim"}),
                ("firing", {"service": "other"}),
            ]
        ):
            alert = {
                "id": f"alert-{number}",
                "policy": "p",
                "series_id": number,
                "labels": given,
                "severity": "error",
                "state": state,
                "active_at": now + timedelta(seconds=number),
                "annotations": {},
                "policy_version": 1,
                "recorded_at": now,
            }
            connection.execute(insert(Alert), [alert])

    store.write(trouble)
    service = client.get("/services/sim").json()
    (container,) = service["containers"]
    assert (container["name"], container["state"], container["exit_code"]) == (
        *("sim-container", "exited", 137),
    )
    assert [one["id"] for one in service["alerts"]] == ["alert-0", "alert-1"]
