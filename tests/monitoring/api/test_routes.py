"""The route table over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from monitoring.api.app import create_app
from monitoring.api.store import get_store

from tests.monitoring.api.logins import anyone
from userdb.store import Store


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    app = create_app(login=anyone)
    app.dependency_overrides[get_store] = lambda: store
    headers = {"Sec-Fetch-Site": "same-origin"}
    client = TestClient(app, headers=headers, raise_server_exceptions=False)
    assert client.put("/services/sim", json={}).status_code == 201
    yield client
    app.dependency_overrides.clear()


def add(client: TestClient, name: str, **given: Any) -> dict[str, Any]:
    response = client.post("/routes/", json={"name": name, "service": "sim", **given})
    assert response.status_code == 201, response.text
    assert response.headers["location"] == response.json()["id"]
    made: dict[str, Any] = response.json()
    return made


def test_a_route_comes_back_in_its_normal_form(client: TestClient) -> None:
    made = add(client, "api", hosts=["B.example"], path="//api/", methods=["get"], timeout_s=1.5)
    shown = client.get(f"/routes/{made['id']}")
    assert shown.json() == made
    assert shown.headers["etag"] == '"1"'
    assert (made["hosts"], made["path"], made["methods"]) == (["b.example"], "/api", ["GET"])
    assert (made["timeout_s"], made["updated_by"], made["warnings"]) == (1.5, "user:tester", [])
    assert client.get("/routes/0000").status_code == 404


def test_name_and_match_are_unique_and_the_other_route_is_named(client: TestClient) -> None:
    made = add(client, "api", path="/api")
    cases = (
        ({"name": "api", "path": "/other"}, "name"),
        ({"name": "other", "path": "/api/", "priority": 5}, "match"),
    )
    for given, field in cases:
        response = client.post("/routes/", json={"service": "sim", **given})
        assert response.status_code == 409
        problem = response.json()
        assert problem["route"] == {"id": made["id"], "name": "api"}
        assert problem["field"] == field
    other = add(client, "other", path="/other")
    for given in ({"name": "api"}, {"path": "/api"}):
        assert client.patch(f"/routes/{other['id']}", json=given).status_code == 409
    # a route isn't its own rival
    assert client.patch(f"/routes/{other['id']}", json={"path": "/other/"}).status_code == 200


def test_what_is_not_legal_is_refused_with_every_field(client: TestClient) -> None:
    response = client.post(
        "/routes/",
        json={
            "name": "a b",
            "hosts": ["a:80"],
            "path_type": "regex",
            "path": "/(",
            "methods": ["FETCH"],
            "service": "sim",
        },
    )
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [
        *("name", "hosts", "path", "methods")
    ]
    response = client.post("/routes/", json={"name": "a", "service": "nobody"})
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["service"]


def test_overlaps_are_accepted_with_a_warning_that_names_the_winner(client: TestClient) -> None:
    add(client, "root")
    (warning,) = add(client, "api", path="/api")["warnings"]
    assert (warning["route"], warning["winner"], warning["certain"]) == ("root", "api", True)
    ((_, told),) = [
        (one["name"], client.get(f"/routes/{one['id']}").json()["warnings"])
        for one in client.get("/routes/", params={"name": "roo"}).json()["items"]
    ]
    assert [one["winner"] for one in told] == ["api"]


def test_a_change_is_made_to_what_was_seen_or_refused(client: TestClient) -> None:
    made = add(client, "api", path="/api", timeout_s=3)
    url = f"/routes/{made['id']}"
    changed = client.patch(url, json={"priority": 2}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["path"], changed.json()["timeout_s"]) == ("/api", 3)
    # what changes nothing is no change
    assert client.patch(url, json={"priority": 2}).headers["etag"] == '"2"'
    whole = {"name": "api", "path": "/v2", "service": "sim"}
    for tag in ('"1"', 'W/"2"', "2", '"x", "1"', ""):
        for response in (
            client.patch(url, json={"priority": 3}, headers={"If-Match": tag}),
            client.put(url, json=whole, headers={"If-Match": tag}),
            client.delete(url, headers={"If-Match": tag}),
        ):
            assert response.status_code == 412, tag
    assert "user:tester" in response.json()["detail"]
    replaced = client.put(url, json=whole, headers={"If-Match": '"1", "2"'})
    assert (replaced.json()["priority"], replaced.json()["timeout_s"]) == (0, None)
    assert client.patch(url, json={"timeout_s": None, "path": "/%"}).status_code == 422
    assert client.patch(url, json={"hosts": None}).status_code == 422
    assert client.delete(url, headers={"If-Match": "*"}).status_code == 204
    assert client.delete(url).status_code == 404


def test_pages_hold_every_route_once_whatever_is_added_meanwhile(client: TestClient) -> None:
    names = [f"r{number:02}" for number in range(7)]
    for name in reversed(names):
        add(client, name, path=f"/{name}")
    seen: list[str] = []
    cursor = None
    while True:
        page = client.get("/routes/", params={"limit": 3, **({"cursor": cursor} if cursor else {})})
        seen += [one["name"] for one in page.json()["items"]]
        cursor = page.json()["next"]
        if cursor is None:
            break
        add(client, f"a{len(seen)}", path=f"/a{len(seen)}")  # before what was read
    assert seen == names
    assert client.get("/routes/", params={"cursor": "%%"}).status_code == 422


def test_routes_are_found_by_service_host_state_and_name(client: TestClient) -> None:
    client.put("/services/web", json={})
    add(client, "a", hosts=["a.example"])
    add(client, "b", path="/b", service="web", enabled=False)
    add(client, "ab", hosts=["*.example", "a.example"])

    def found(**params: Any) -> list[str]:
        return [one["name"] for one in client.get("/routes/", params=params).json()["items"]]

    assert found(service="web") == ["b"]
    assert found(enabled=True) == ["a", "ab"]
    assert found(host="A.example") == ["a", "ab"]
    assert found(host="*.example") == ["ab"]
    assert found(name="b") == ["ab", "b"]
    assert found(name="%") == []


def test_every_change_is_audited_with_who_and_when(client: TestClient) -> None:
    made = add(client, "api", path="/api")
    client.patch(f"/routes/{made['id']}", json={"path": "/v2"})
    client.delete(f"/routes/{made['id']}")
    subject = f"route/{made['id']}"
    first = client.get("/audit/", params={"subject": subject, "limit": 2}).json()
    rest = client.get("/audit/", params={"subject": subject, "cursor": first["next"]}).json()
    assert rest["next"] is None
    entries = [*first["items"], *rest["items"]]
    assert [one["action"] for one in entries] == ["delete", "update", "create"]
    assert {one["principal"] for one in entries} == {"user:tester"}
    assert (entries[1]["before"]["path"], entries[1]["after"]["path"]) == ("/api", "/v2")
    assert (entries[0]["after"], entries[2]["before"]) == (None, None)
    assert [one["at"] for one in entries] == sorted((one["at"] for one in entries), reverse=True)
    kinds = {
        one["subject"].partition("/")[0]
        for one in client.get("/audit/", params={"kind": "service"}).json()["items"]
    }
    assert kinds == {"service"}


def test_traefik_gets_the_same_bytes_until_the_table_changes(client: TestClient) -> None:
    assert client.get("/gateway/traefik").content == b"{}"
    add(client, "b", path="/b")
    made = add(client, "a", path="/a")
    client.post("/register/", json={"service": "sim", "address": "10.0.0.1", "port": 80})
    first = client.get("/gateway/traefik")
    assert first.headers["content-type"] == "application/json"
    again = client.get("/gateway/traefik", headers={"If-None-Match": "*"})
    assert (again.status_code, again.content) == (200, first.content)
    assert client.get("/gateway/traefik").json()["http"]["services"] == {
        "sim": {"loadBalancer": {"servers": [{"url": "http://10.0.0.1:80"}]}}
    }
    client.delete(f"/routes/{made['id']}")
    assert client.get("/gateway/traefik").content != first.content
