"""OTLP requests into events, as pure functions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.intake.otlp import JSON, PROTOBUF, events_of, read_request
from monitoring.intake.sent import SentEvent, Unreadable
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from userdb.errors import InvalidRequestError

RESOURCE = {
    "service.name": "sim-7",
    "service.instance.id": "sim-7-abc",
    "host.name": "node-1",
    "container.id": "0123abc",
}


def attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def request(*records: dict[str, Any], scope: str = "app.payments") -> dict[str, Any]:
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": attributes(RESOURCE)},
                "scopeLogs": [{"scope": {"name": scope}, "logRecords": list(records)}],
            }
        ]
    }


def read(document: dict[str, Any]) -> list[SentEvent | Unreadable]:
    return events_of(read_request(json.dumps(document).encode(), JSON))


def one(**record: Any) -> SentEvent:
    (event,) = read(request(record))
    assert isinstance(event, SentEvent)
    return event


RECORD = {
    "timeUnixNano": "1772359200123456789",
    "severityNumber": 17,
    "body": {"stringValue": "payment failed"},
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "attributes": attributes(
        {
            "exception.type": "app.errors.Declined",
            "exception.message": "card 4242",
            "exception.stacktrace": 'Traceback\n  File "/srv/a/pay.py", line 3, in pay\nDeclined',
            "user.tier": "gold",
        }
    ),
}


def test_a_record_becomes_an_event_with_the_labels_of_its_resource() -> None:
    event = one(**RECORD)
    assert event.occurred_at is not None
    assert event.occurred_at.isoformat() == "2026-03-01T10:00:00.123456+00:00"
    assert (event.service, event.instance, event.container) == ("sim-7", "sim-7-abc", "0123abc")
    assert (event.source, event.level) == ("app.payments", "error")
    assert (event.message, event.exception_type) == ("payment failed", "app.errors.Declined")
    assert event.detail == {
        "exception": {
            "type": "app.errors.Declined",
            "message": "card 4242",
            "stack": 'Traceback\n  File "/srv/a/pay.py", line 3, in pay\nDeclined',
        },
        "attributes": {"user.tier": "gold"},
        "resource": RESOURCE,
        "trace_id": "5b8efff798038103d269b633813fc60c",
        "span_id": "eee19b7ec3c1b174",
    }


@pytest.mark.parametrize(
    ("number", "text", "level"),
    [
        (1, "", "info"),
        (12, "", "info"),
        (13, "", "warning"),
        (16, "", "warning"),
        (17, "", "error"),
        (20, "", "error"),
        (21, "", "critical"),
        (24, "", "critical"),
        (0, "WARN", "warning"),
        (0, "Fatal", "critical"),
        (0, "", "info"),
        (0, "odd", "info"),
    ],
)
def test_severities_become_levels(number: int, text: str, level: str) -> None:
    assert one(severityNumber=number, severityText=text).level == level


def test_protobuf_and_json_give_the_same_events() -> None:
    document = request(RECORD, {**RECORD, "severityNumber": 21})
    as_json = read_request(json.dumps(document).encode(), JSON)
    as_protobuf = read_request(as_json.SerializeToString(), PROTOBUF)
    assert events_of(as_protobuf) == events_of(as_json)


def test_ids_are_of_the_content_so_that_a_repetition_is_known() -> None:
    def ids(*records: dict[str, Any]) -> list[str | None]:
        return [event.event_id for event in read(request(*records))]  # type: ignore[union-attr]

    later = {**RECORD, "timeUnixNano": "1772359200123456790"}
    first = ids(RECORD, RECORD, later)
    assert len(set(first)) == 3, "two of the same in one request are two"
    assert ids(RECORD, RECORD, later) == first
    assert ids({"body": {"stringValue": "no time"}}) == [None]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"body": {"kvlistValue": {"values": attributes({"a": "b"})}}}, '{"a": "b"}'),
        ({"attributes": attributes({"exception.message": "why"})}, "why"),
        ({"eventName": "started"}, "started"),
        ({}, ""),
    ],
)
def test_a_record_without_a_text_says_what_it_can(record: dict[str, Any], message: str) -> None:
    assert one(**record).message == message


def test_a_time_beyond_what_dates_hold_spoils_that_record_alone() -> None:
    events = read(request({"timeUnixNano": str(2**64 - 1)}, RECORD))
    assert [type(event) for event in events] == [SentEvent, SentEvent]  # the year 2554


def test_more_records_than_are_read_are_counted_as_rejected(monkeypatch: Any) -> None:
    monkeypatch.setattr("monitoring.intake.otlp.MAX_RECORDS", 2)
    events = read(request({}, {}, {}, {}))
    assert [isinstance(event, Unreadable) for event in events] == [False, False, True, True]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"nonsense", b'{"resourceLogs": 1}', b"[" * 100_000, b'{"a":"\\ud800"}x',
     b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"xyz"}]}]}]}',
     b'{"resourceLogs":[{"scopeLogs":[{"logRecords":["\\ud800"]}]}]}',
     b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":1e999}]}]}]}'],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        read_request(body, JSON)


@given(st.binary())
def test_any_bytes_are_a_request_of_protobuf_or_refused(body: bytes) -> None:
    try:
        found = read_request(body, PROTOBUF)
    except InvalidRequestError:
        return
    assert isinstance(found, ExportLogsServiceRequest)
    events_of(found)
