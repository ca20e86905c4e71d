"""Judging and storing what is sent: one by one, with a reason for each that is not stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.intake import Bounds, Receipt, SentEvent, accept_events
from monitoring.intake.documents import read_document
from sqlalchemy import select, text

from userdb.errors import ConfigError, InvalidRequestError
from userdb.models import MonitorEvent, RetentionFloor
from userdb.store import Store
from userdb.times import to_minute

NOW = datetime(2026, 3, 1, 10, 0, 30, tzinfo=UTC)
BOUNDS = Bounds()


def accept(store: Store, *sent: Any, bounds: Bounds = BOUNDS) -> Receipt:
    return accept_events(store, sent, now=NOW, bounds=bounds, source="node-1")


def rows(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(select(MonitorEvent).order_by(MonitorEvent.id)))


def at(offset: timedelta) -> str:
    return (NOW + offset).isoformat()


def test_an_event_is_stored_as_it_was_sent(store: Store) -> None:
    sent = {
        "event_id": "a",
        "event_type": "gateway",
        "source": "route_management",
        "level": "fatal",
        "message": "上游超时 😀",
        "detail": {"route": "/sim/7"},
        "occurred_at": "2026-03-01T18:00:00.25+08:00",
        "service": "sim-7",
        "instance": "gw-1",
        "container": "sim-7-1",
        "exception_type": "ReadTimeout",
        "fingerprint": "f" * 32,
    }
    receipt = accept(store, sent)
    assert (receipt.stored, receipt.repeated, receipt.rejected) == (1, 0, ())
    (row,) = rows(store)
    expected = {
        **sent,
        "level": "critical",
        "occurred_at": datetime(2026, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC),
        "created_at": NOW,
    }
    assert {name: getattr(row, name) for name in expected} == expected


def test_only_the_message_has_to_be_there(store: Store) -> None:
    assert accept(store, {"message": "m"}, {"message": "m"}).stored == 2
    for row in rows(store):
        assert (row.event_type, row.level, row.source) == ("custom", "error", "node-1")
        assert row.occurred_at == row.created_at == NOW


def test_wrong_ones_are_rejected_with_all_reasons_and_the_others_are_stored(store: Store) -> None:
    receipt = accept(
        store,
        {"event_id": "a", "message": "good"},
        {"event_id": "b", "level": "grave", "occurred_at": 1700000000, "colour": "red"},
        ["not", "an object"],
        {"event_id": "c", "message": "good"},
        {"event_id": "d", "message": "m", "occurred_at": "2026-03-01T10:00:00"},
    )
    assert (receipt.stored, receipt.repeated) == (2, 0)
    assert [(one.index, one.event_id) for one in receipt.rejected] == [
        (1, "b"),
        (2, None),
        (4, "d"),
    ]
    first, second, third = receipt.rejected
    for field in ("message", "level", "occurred_at", "colour"):
        assert f"{field}: " in first.message
    assert "RFC 3339" in first.message
    assert second.message == "is not a JSON object"
    assert (third.field, "timezone" in third.message) == ("occurred_at", True)


def test_the_same_id_is_stored_once_within_a_request_and_across_requests(store: Store) -> None:
    first = accept(store, *({"event_id": "a", "message": "one"} for _ in range(3)))
    assert (first.stored, first.repeated) == (1, 2)
    second = accept(store, {"event_id": "a", "message": "two"}, {"event_id": "b", "message": "x"})
    assert (second.stored, second.repeated) == (1, 1)
    assert [event.event_id for event in second.new] == ["b"]
    assert [row.message for row in rows(store)] == ["one", "x"]


def test_events_without_an_id_are_known_again_by_content_and_place(store: Store) -> None:
    twin = {"message": "m", "occurred_at": at(timedelta(0)), "detail": {"b": 1, "a": [2]}}
    other = {**twin, "detail": {"a": [2], "b": 2}}
    assert accept(store, twin, other, twin).stored == 3
    again = {**twin, "detail": {"a": [2], "b": 1}}  # another order of keys
    receipt = accept(store, again, other, again)
    assert (receipt.stored, receipt.repeated) == (0, 3)


@pytest.mark.parametrize(
    ("offset", "why"),
    [
        (timedelta(minutes=-59), None),
        (timedelta(hours=-1), None),
        (timedelta(hours=-1, microseconds=-1), "more than 1h before now"),
        (timedelta(seconds=10), None),
        (timedelta(seconds=10, microseconds=1), "more than 10s after now"),
        (timedelta(days=3000), "more than 10s after now"),
    ],
)
def test_events_beyond_the_bounds_are_rejected(
    sqlite_store: Store, offset: timedelta, why: str | None
) -> None:
    bounds = Bounds(max_age=timedelta(hours=1), max_ahead=timedelta(seconds=10))
    sent = {"event_id": "a", "message": "m", "occurred_at": at(offset)}
    receipt = accept(sqlite_store, sent, bounds=bounds)
    if why is None:
        assert receipt.stored == 1
    else:
        (rejected,) = receipt.rejected
        assert (rejected.field, rejected.event_id) == ("occurred_at", "a")
        assert why in rejected.message
        assert rows(sqlite_store) == []


def test_events_from_before_the_purged_counts_are_rejected(store: Store) -> None:
    floor = NOW - timedelta(hours=2)
    row = RetentionFloor.__table__.insert().values(family="event", first_minute=to_minute(floor))
    store.write(lambda connection: connection.execute(row))
    receipt = accept(
        store,
        {"message": "m", "occurred_at": at(timedelta(hours=-3))},
        {"message": "m", "occurred_at": at(timedelta(hours=-1))},
    )
    assert (receipt.stored, len(receipt.rejected)) == (1, 1)
    assert "counts were purged" in receipt.rejected[0].message


@pytest.mark.parametrize("value", ["soon", "10", "9999w"])
def test_a_bound_that_is_no_duration_is_named(monkeypatch: Any, value: str) -> None:
    monkeypatch.setenv("MONITORING_EVENTS_MAX_AGE", value)
    with pytest.raises(ConfigError, match="MONITORING_EVENTS_MAX_AGE"):
        Bounds.from_environment()


def test_an_event_that_userdb_refuses_is_rejected_alone(store: Store) -> None:
    action = (
        "SELECT RAISE(ABORT, 'no such event')"
        if store.is_sqlite
        else "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such event'"
    )
    condition = (
        "WHEN NEW.event_id = 'e3' BEGIN"
        if store.is_sqlite
        else "FOR EACH ROW IF NEW.event_id = 'e3' THEN"
    )
    end = "; END" if store.is_sqlite else "; END IF"
    trigger = f"CREATE TRIGGER refuse BEFORE INSERT ON monitor_event {condition} {action}{end}"
    store.write(lambda connection: connection.execute(text(trigger)))
    try:
        receipt = accept(store, *({"event_id": f"e{n}", "message": "m"} for n in range(7)))
    finally:
        store.write(lambda connection: connection.execute(text("DROP TRIGGER refuse")))
    assert receipt.stored == 6
    (rejected,) = receipt.rejected
    assert (rejected.index, rejected.event_id) == (3, "e3")
    assert "no such event" in rejected.message


# --- reading a body -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}', [{"a": 1}]),
        (b' [1, {"a": 2}] ', [1, {"a": 2}]),
        (b"[]", []),
        (b'{"a": 1}\n{"a": 2}\n\n', [{"a": 1}, {"a": 2}]),
        (b'{"a":\n 1}', [{"a": 1}]),
    ],
)
def test_one_an_array_and_lines_are_read(body: bytes, expected: list[Any]) -> None:
    assert read_document(body) == expected


def test_a_line_that_is_no_json_stands_for_itself() -> None:
    values = read_document(b'{"a": 1}\n{"a":\n{"a": 3}', "application/x-ndjson")
    assert values[0] == {"a": 1}
    assert values[2] == {"a": 3}
    assert "is not JSON" in values[1].why


@pytest.mark.parametrize(
    "body", [b"", b" \n ", b"nothing", b"no\nthing", b"\xff\xfe", b"[" * 100_000]
)
def test_a_body_in_which_nothing_can_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        read_document(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=10,
)
_FIELDS = st.sampled_from([*SentEvent.model_fields, "colour"])


@given(st.lists(st.dictionaries(_FIELDS, _JSON, max_size=6) | _JSON, max_size=5))
def test_whatever_json_is_sent_each_event_is_stored_or_rejected_and_nothing_fails(
    shared_store: Store, sent: list[Any]
) -> None:
    receipt = accept(shared_store, *sent)
    assert receipt.stored + receipt.repeated + len(receipt.rejected) == len(sent)
    for one in receipt.rejected:
        json.dumps([one.event_id, one.field, one.message], ensure_ascii=False).encode()
