"""The API's reading routes, on a real userdb; who may call them is tested in a real Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from sqlalchemy import insert

from tests.monitoring.api.logins import anyone
from userdb.ledger import CollectionReport, SourceReport, record
from userdb.models import Alert, AlertTransition
from userdb.store import Store

BASE = datetime(2026, 3, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def episode(number: int, state: str, start: int, end: int | None, **values: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "policy": "timeouts",
        "series_id": number,
        "labels": {"service": f"sim-{number}"},
        "severity": "critical",
        "state": state,
        "active_at": BASE + start * MINUTE,
        "resolved_at": None if end is None else BASE + end * MINUTE,
        "annotations": {"summary": "timeouts"},
        "policy_version": 1,
        "recorded_at": BASE + 60 * MINUTE,
        "superseded_at": None,
        **values,
    }


def transition(number: int, at: int, to: str, **values: Any) -> dict[str, Any]:
    return {
        "alert_id": f"{number:032x}",
        "policy": "timeouts",
        "series_id": number,
        "at": BASE + at * MINUTE,
        "from_state": "inactive",
        "to_state": to,
        "value": 0.5,
        "reason": "condition",
        "recorded_at": BASE + 60 * MINUTE,
        "superseded_at": None,
        **values,
    }


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    def write(connection: Any) -> None:
        connection.execute(
            insert(Alert),
            [
                episode(1, "resolved", 0, 10),
                episode(2, "firing", 20, None, policy="errors"),
                episode(3, "resolved", 5, 6, superseded_at=BASE + 90 * MINUTE),
            ],
        )
        connection.execute(
            insert(AlertTransition),
            [
                transition(1, 0, "pending"),
                transition(1, 4, "firing", superseded_at=BASE + 90 * MINUTE),
                transition(1, 3, "firing", recorded_at=BASE + 90 * MINUTE),
            ],
        )

    store.write(write)
    app = create_app(login=anyone)
    app.dependency_overrides[get_store] = lambda: store
    yield TestClient(app, raise_server_exceptions=False)
    app.dependency_overrides.clear()


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.text
    return [int(alert["id"], 16) for alert in response.json()]


def test_alerts_that_hold_newest_first(client: TestClient) -> None:
    response = client.get("/api/v1/alerts")
    assert ids(response) == [2, 1]
    assert response.json()[1]["labels"] == {"service": "sim-1"}
    assert response.json()[1]["active_at"] == "2026-03-01T10:00:00Z"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "firing"}, [2]),
        ({"policy": "timeouts"}, [1]),
        ({"from": "2026-03-01T10:10:00Z"}, [2]),
        ({"from": "2026-03-01T10:09:00Z"}, [2, 1]),
        ({"to": "2026-03-01T10:20:00Z"}, [1]),
        ({"limit": 1}, [2]),
    ],
)
def test_alerts_filters(client: TestClient, query: dict[str, Any], expected: list[int]) -> None:
    assert ids(client.get("/api/v1/alerts", params=query)) == expected


def test_history_now_and_as_of(client: TestClient) -> None:
    path = f"/api/v1/alerts/{1:032x}/history"
    now = client.get(path).json()
    assert [(one["at"], one["to_state"]) for one in now] == [
        ("2026-03-01T10:00:00Z", "pending"),
        ("2026-03-01T10:03:00Z", "firing"),
    ]
    then = client.get(path, params={"as_of": "2026-03-01T11:15:00Z"}).json()
    assert [one["at"] for one in then] == ["2026-03-01T10:00:00Z", "2026-03-01T10:04:00Z"]


def test_collections(client: TestClient, store: Store) -> None:
    report = CollectionReport(
        collector="request_logs",
        start=BASE,
        end=BASE + 5 * MINUTE,
        sources=(SourceReport("a", "ok", rows=3), SourceReport("b", "failed", message="gone")),
        started_at=BASE + 5 * MINUTE,
        duration_s=0.5,
    )
    store.write(lambda connection: record(connection, report, "request", "run-1"))
    rows = client.get("/api/v1/collections", params={"status": "failed"}).json()
    assert [(row["source"], row["message"], row["run_id"]) for row in rows] == [
        ("b", "gone", "run-1")
    ]
    assert client.get("/api/v1/collections", params={"from": "2026-03-01T10:05:00Z"}).json() == []


def test_status(client: TestClient) -> None:
    status = client.get("/api/v1/status").json()
    assert [one["name"] for one in status["collectors"]] == [
        "gateway_exceptions",
        "request_logs",
        "container_stats",
    ]
    assert status["firing"] == 1


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/api/v1/alerts/nope/history", 404, "there is no alert nope"),
        ("/api/v1/nope", 404, "Not Found"),
        ("/api/v1/alerts?state=odd", 422, "state: Input should be 'pending', 'firing'"),
        ("/api/v1/alerts?from=2026-03-01T10:00:00", 422, "from: Input should have timezone"),
        ("/api/v1/alerts?limit=0", 422, "limit: "),
    ],
)
def test_errors_are_problem_documents(
    client: TestClient, path: str, status: int, detail: str
) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert detail in response.json()["detail"]


def test_userdb_without_schema_is_unavailable_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("USERDB_URL", f"sqlite:///{tmp_path}/empty.sqlite")
    response = TestClient(create_app(login=anyone)).get("/api/v1/alerts")
    assert response.status_code == 503
    assert "monitoring db upgrade" in response.json()["detail"]
