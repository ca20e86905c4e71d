"""Events over HTTP, as JSON: one, an array, lines; and whatever bytes anybody sends."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.keys import create_key
from sqlalchemy import select

from userdb.models import MonitorEvent
from userdb.store import Store, open_store

EVENTS = "/api/v1/events"


def client_of(store: Store) -> TestClient:
    """A machine with a key that may write events."""
    app = create_app(login=None)
    app.dependency_overrides[get_store] = lambda: store
    _, key = create_key(store, "node-1", ["events:write"], by="test", now=datetime.now(UTC))
    return TestClient(app, raise_server_exceptions=False, headers={"X-API-Key": key})


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    yield client_of(store)
    create_app(login=None).dependency_overrides.clear()


def messages(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(MonitorEvent.message).order_by(MonitorEvent.id)))


@pytest.mark.parametrize(
    ("body", "media_type", "expected"),
    [
        (b'{"message": "a"}', "application/json", ["a"]),
        (b'[{"message": "a"}, {"message": "b"}]', "application/json; charset=utf-8", ["a", "b"]),
        (b'{"message": "a"}\n{"message": "b"}\n', "application/x-ndjson", ["a", "b"]),
        (b'{"message": "a"}\n\n{"message": "b"}', "text/plain", ["a", "b"]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_one_an_array_and_lines_are_taken_plain_and_packed(
    client: TestClient,
    store: Store,
    body: bytes,
    media_type: str,
    expected: list[str],
    packed: bool,
) -> None:
    headers = {"Content-Type": media_type}
    if packed:
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    response = client.post(EVENTS, content=body, headers=headers)
    assert response.json() == {"stored": len(expected), "repeated": 0, "rejected": []}
    assert response.status_code == 200
    assert sorted(messages(store)) == expected
    with store.read() as connection:
        assert set(connection.scalars(select(MonitorEvent.source))) == {"node-1"}


def test_the_answer_says_which_were_stored_repeated_and_rejected_and_why(
    client: TestClient,
) -> None:
    client.post(EVENTS, json={"event_id": "a", "message": "m"})
    sent = [{"event_id": "a", "message": "m"}, {"event_id": "b"}, {"event_id": "c", "message": "m"}]
    assert client.post(EVENTS, json=sent).json() == {
        "stored": 1,
        "repeated": 1,
        "rejected": [
            {
                "index": 1,
                "event_id": "b",
                "field": "message",
                "message": "message: Field required",
            }
        ],
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 422), (b"nonsense", 422), (json.dumps([{"message": "m"}] * 1001).encode(), 413)],
)
def test_what_holds_no_event_or_too_many_is_refused_as_a_whole(
    client: TestClient, store: Store, body: bytes, status: int
) -> None:
    response = client.post(EVENTS, content=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert messages(store) == []


def test_a_setting_that_is_not_valid_is_told_and_nothing_is_stored(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITORING_EVENTS_MAX_AGE", "long")
    response = client.post(EVENTS, json={"message": "m"})
    assert response.status_code == 500
    assert "MONITORING_EVENTS_MAX_AGE" in response.json()["detail"]
    assert messages(store) == []


_HALF = rb"\ud83d"  # half a character, which JSON can write and UTF-8 can't


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (b'{"event_id": "a%s"}' % _HALF, "event_id"),
        (
            b'{"message": "m", "a%s": 1}' % _HALF,
            "Input should be a valid string, unable to parse raw data as a unicode string",
        ),
        (b'{"message": "m", "detail": %s}' % (b'{"a":' * 101 + b"1" + b"}" * 101), "detail"),
        (b'{"message": "m", "detail": {"a": %s}}' % (b"[" * 900 + b"]" * 900), "detail"),
        (b'{"message": "m", "occurred_at": "0001-01-01T00:00:00+10:00"}', "occurred_at"),
        (b'{"message": "m", "level": {"a": 1}}', "level"),
        (b'{"message": "m", "event_id": " "}', "event_id"),
    ],
)
def test_odd_events_are_rejected_by_field(client: TestClient, event: bytes, field: str) -> None:
    response = client.post(EVENTS, content=b"[%s]" % event)
    assert response.status_code == 200, response.text
    (rejected,) = response.json()["rejected"]
    named = [part.partition(": ")[0] for part in rejected["message"].split("; ")]
    assert field in named, rejected


@pytest.mark.parametrize(
    "detail",
    [rb'{"a\ud83d": "\ud83d"}', b'{"a": [NaN, 1e999, -0.0]}', b'{"a": %s}' % (b"9" * 4000)],
)
def test_odd_details_are_kept_as_far_as_they_can_be(client: TestClient, detail: bytes) -> None:
    response = client.post(EVENTS, content=b'{"message": "m", "detail": %s}' % detail)
    assert response.json()["stored"] == 1, response.text


# --- whatever is sent -----------------------------------------------------------------------------

_WAYS = [
    (EVENTS, "application/json"),
    (EVENTS, "application/x-ndjson"),
    ("/v1/logs", "application/x-protobuf"),
    ("/v1/logs", "application/json"),
    ("/api/1/envelope/", "application/x-sentry-envelope"),
]
_LEAVES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800")
)
#: Names that the parsers look at, so that values of the wrong kind get to where they hurt.
_NAMES = st.sampled_from(
    """
    message event_id occurred_at detail level
    resourceLogs scopeLogs logRecords attributes resource body traceId timeUnixNano severityNumber
    key value stringValue kvlistValue values
    exception stacktrace frames type module function lineno tags fingerprint logentry timestamp
    request length
    """.split()  # noqa: SIM905
)
_DOCUMENT = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=25,
)
_LINE = st.one_of(
    st.binary(max_size=60),
    _DOCUMENT.map(lambda value: json.dumps(value).encode()),
    st.just(b'{"type": "event"}'),
    st.just(b'{"type": "event", "length": 7}'),
    st.just(
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"18446744073709551615"'
        b"}]}]}]}"
    ),
)


@pytest.fixture(scope="module")
def fuzzed(sqlite_template: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path = tmp_path_factory.mktemp("fuzz") / "userdb.sqlite"
    shutil.copyfile(sqlite_template, path)
    store = open_store(f"sqlite:///{path}")
    yield client_of(store)
    create_app(login=None).dependency_overrides.clear()
    store.close()


@pytest.mark.parametrize(("path", "media_type"), _WAYS)
@given(lines=st.lists(_LINE, max_size=4))
def test_whatever_bytes_are_sent_the_server_does_not_fail(
    fuzzed: TestClient, path: str, media_type: str, lines: list[bytes]
) -> None:
    headers = {"Content-Type": media_type}
    response = fuzzed.post(path, content=b"\n".join(lines), headers=headers)
    assert response.status_code in (200, 400, 422), response.text
