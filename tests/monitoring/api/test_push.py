"""Batches that nodes push over HTTP."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.keys import create_key
from sqlalchemy import func, select

from userdb.ledger import family_covered
from userdb.models import RequestLog
from userdb.store import Store
from userdb.times import to_minute

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
PUSH = "/api/v1/requests"


def ago(minutes: float) -> str:
    return (NOW - timedelta(minutes=minutes)).isoformat()


def row(mark: str, **given: Any) -> dict[str, Any]:
    return {"id": mark, "occurred_at": ago(3), "status": 200} | given


@pytest.fixture
def client(sqlite_store: Store) -> Iterator[TestClient]:
    app = create_app(login=None)
    app.dependency_overrides[get_store] = lambda: sqlite_store
    _, key = create_key(sqlite_store, "gw-1", ["events:write"], by="test", now=datetime.now(UTC))
    headers = {"Authorization": f"Bearer {key}"}
    yield TestClient(app, headers=headers, raise_server_exceptions=False)
    app.dependency_overrides.clear()


def test_each_item_is_told_as_stored_repeated_or_rejected(
    client: TestClient, sqlite_store: Store
) -> None:
    batch = {
        "node": "gw-1",
        "requests": [row("a"), row("a"), row("b", status="x"), 5, row("c", path="/" * 9000)],
        "minutes": [{"minute": ago(2), "requests": 3, "ok": 2}],
    }
    packed = gzip.compress(json.dumps(batch).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = client.post(PUSH, content=packed, headers=headers).json()
    assert answer["requests"]["outcomes"] == [
        "stored",
        "repeated",
        "rejected",
        "rejected",
        "stored",
    ]
    assert [(one["index"], one["field"]) for one in answer["requests"]["rejected"]] == [
        (2, "status"),
        (3, ""),
    ]
    assert "outcomes add up to 2" in answer["minutes"]["rejected"][0]["message"]
    again = client.post(PUSH, json=batch).json()
    assert (again["requests"]["stored"], again["requests"]["repeated"]) == (0, 3)
    with sqlite_store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(RequestLog)) == 2


@pytest.mark.parametrize(
    ("batch", "field"),
    [
        ({}, "node"),
        ({"node": "a/b"}, "node"),
        ({"node": "a", "requests": "x"}, "requests"),
        ({"node": "a", "requests": [{}] * 1001}, "requests"),
        ({"node": "a", "covered": {"from": ago(1), "to": ago(5)}}, "covered"),
        ({"node": "a", "covered": {"from": "2026-03-01T00:00:00", "to": ago(5)}}, "covered.from"),
        ({"node": "a", "extra": 1}, "extra"),
    ],
)
def test_a_batch_that_is_none_is_refused_whole(
    client: TestClient, batch: dict[str, Any], field: str
) -> None:
    response = client.post(PUSH, json=batch)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert field in [one["field"].removeprefix("body.") for one in response.json()["errors"]]


def test_nodes_that_the_settings_expect_must_all_cover_a_minute(
    client: TestClient, sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text("push: {nodes: [gw-1, gw-2]}\n", encoding="utf-8")
    monkeypatch.setenv("MONITORING_SOURCES", str(path))
    span = {"from": ago(4), "to": ago(2)}
    found = []
    for node in ("gw-1", "gw-2"):
        answer = client.post(PUSH, json={"node": node, "covered": span}).json()
        assert answer["covered"] is not None
        with sqlite_store.read() as connection:
            stop = to_minute(NOW)
            found.append(family_covered(connection, "request", stop - 5, stop).tolist())
    assert found == [[False] * 5, [False, True, True, False, False]]


#: JSON can say half of a surrogate pair, which no database holds
TEXT = st.text(max_size=3) | st.sampled_from(["\ud800", "\x00"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=5,
)
TIMES = st.datetimes().map(lambda at: at.isoformat() + "+14:00") | st.sampled_from(
    [ago(1), ago(3), "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"]
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"id": TEXT, "occurred_at": TIMES, "status": JSON},
            optional={
                "service": TEXT,
                "path": JSON,
                "duration_ms": JSON,
                "user": TEXT,
                "bytes_sent": st.integers(),
                "\udcff": JSON,
            },
        )
        | JSON,
        max_size=4,
    ),
    boxes=st.lists(
        st.fixed_dictionaries(
            {
                "observed_at": TIMES,
                "container": TEXT,
                "container_id": TEXT,
                "state": TEXT,
            },
            optional={"started_at": TIMES, "cpu_total_ns": JSON, "minute": TIMES},
        ),
        max_size=3,
    ),
    span=st.fixed_dictionaries({"from": TIMES, "to": TIMES}) | JSON,
)
def test_whatever_is_sent_is_answered_and_never_with_an_error_of_ours(
    client: TestClient, rows: list[Any], boxes: list[Any], span: Any
) -> None:
    def post(path: str, **body: Any) -> Any:
        # as Python's json writes it: Infinity too
        text = json.dumps({"node": "n", **body})
        return client.post(path, content=text, headers={"Content-Type": "application/json"})

    for path, name, items in (
        (PUSH, "requests", rows),
        ("/api/v1/container-status", "containers", boxes),
    ):
        response = post(path, **{name: items})
        assert response.status_code == 200
        assert len(response.json()[name]["outcomes"]) == len(items)
        assert post(path, **{name: items}).json()[name]["stored"] == 0
        assert post(path, **{name: [], "covered": span}).status_code in (200, 422)
    assert post(PUSH, **{"\ud800": 1}).status_code == 422
