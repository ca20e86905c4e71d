"""Bodies that others send: events, and what nodes push."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitoring.intake import Bounds, Receipt, accept_events
from monitoring.intake.documents import read_document
from monitoring.intake.otlp import JSON, PROTOBUF, events_of, read_request
from monitoring.intake.sent import SentEvent
from monitoring.intake.sentry import read_envelope
from sqlalchemy import delete

from tests.fuzz.storable import assert_storable
from tests.fuzz.target import Target
from userdb.errors import InvalidRequestError
from userdb.migrate import upgrade
from userdb.models import MonitorEvent
from userdb.store import Store, open_store

_NOW = datetime(2026, 3, 1, 10, 0, 30, tzinfo=UTC)
_ID = "fc6d8c0c43fc4630ad850ee518f1b9d0"
_GOOD = SentEvent(message="good", event_id="good", occurred_at=_NOW)

_EVENT = {
    "event_id": _ID,
    "event_type": "gateway",
    "source": "route_management",
    "level": "fatal",
    "message": "上游超时 😀",
    "detail": {"route": "/sim/7", "a": [1, {"b": None}]},
    "occurred_at": "2026-03-01T18:00:00.25+08:00",
    "created_at": "2026-03-01T10:00:00Z",
    "service": "sim-7",
    "exception_type": "ReadTimeout",
    "fingerprint": "f" * 32,
}
_SENTRY = {
    "event_id": _ID,
    "timestamp": "2026-03-01T10:00:00.5Z",
    "level": "fatal",
    "logger": "app.payments",
    "server_name": "node-1",
    "fingerprint": ["{{ default }}", "x"],
    "tags": {"service": "sim-7", "container": "c-1"},
    "request": {"method": "GET", "url": "http://x/"},
    "logentry": {"message": "failed %s", "formatted": "failed 7"},
    "exception": {
        "values": [
            {
                "type": "Declined",
                "module": "app.errors",
                "value": "card",
                "stacktrace": {
                    "frames": [
                        {"function": "pay", "module": "app.pay", "lineno": 7, "in_app": True}
                    ]
                },
            }
        ]
    },
}
_RECORD = {
    "timeUnixNano": "1772359200123456789",
    "severityNumber": 17,
    "severityText": "WARN",
    "body": {"stringValue": "payment failed"},
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "attributes": [
        {"key": "exception.type", "value": {"stringValue": "app.errors.Declined"}},
        {
            "key": "exception.stacktrace",
            "value": {"stringValue": 'File "/a/pay.py", line 3, in pay'},
        },
        {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}},
    ],
}
_OTLP = {
    "resourceLogs": [
        {
            "resource": {
                "attributes": [{"key": "service.name", "value": {"stringValue": "sim-7"}}]
            },
            "scopeLogs": [{"scope": {"name": "app.payments"}, "logRecords": [_RECORD]}],
        }
    ]
}


def _store() -> Store:
    path = Path(tempfile.mkdtemp(prefix="fuzz-userdb-")) / "userdb.sqlite"
    store = open_store(f"sqlite:///{path}")
    upgrade(store)
    return store


def _taking(events: Callable[[bytes], list[Any]]) -> Callable[[], Callable[[bytes], None]]:
    """The check of a reader of bodies: what it reads is stored or refused, event by event."""

    def open_check() -> Callable[[bytes], None]:
        store = _store()

        def check(data: bytes) -> None:
            try:
                sent = events(data)
            except InvalidRequestError as error:
                str(error).encode()
                return
            receipt = accept_events(
                store, [*sent, _GOOD], now=_NOW, bounds=Bounds(), source="node-1"
            )
            _is_told(receipt, len(sent) + 1)
            with store.engine.begin() as connection:
                connection.execute(delete(MonitorEvent))

        return check

    return open_check


def _is_told(receipt: Receipt, sent: int) -> None:
    assert receipt.stored + receipt.repeated + len(receipt.rejected) == sent
    # one that took its id may be there before it
    assert receipt.stored >= 1
    assert all(one.index < sent - 1 for one in receipt.rejected)
    for one in receipt.rejected:
        json.dumps([one.event_id, one.field, one.message], ensure_ascii=False).encode()
    for event in receipt.new:
        assert event.occurred_at.utcoffset() is not None
        assert_storable("monitor_event", vars(event))


def _envelope(*payloads: dict[str, Any]) -> bytes:
    parts = [json.dumps({"event_id": _ID, "sent_at": "2026-03-01T10:00:00Z"}).encode()]
    for payload in payloads:
        text = json.dumps(payload).encode()
        parts += [json.dumps({"type": "event", "length": len(text)}).encode(), text]
    return b"\n".join(parts)


def _unmeasured(payload: dict[str, Any]) -> bytes:
    """An envelope whose item is as long as its line: it stays one when the payload is changed."""
    return b'{}\n{"type":"event"}\n' + json.dumps(payload).encode()


def _protobuf() -> bytes:
    return read_request(json.dumps(_OTLP).encode(), JSON).SerializeToString()


TARGETS = (
    Target(
        "events_json",
        _taking(read_document),
        (json.dumps(_EVENT).encode(), json.dumps([_EVENT, {"message": "m"}]).encode()),
        ("event_id", "message", "custom", "container", "info", "detail", "created_at"),
    ),
    Target(
        "sentry_envelope",
        _taking(lambda data: list(read_envelope(data).events)),
        (_envelope(_SENTRY), _unmeasured(_SENTRY), _envelope(_SENTRY, _SENTRY)),
        (
            "event",
            "transaction",
            "length",
            "type",
            "fingerprint",
            "values",
            "{{default}}",
            "message",
        ),
    ),
    Target(
        "otlp_json",
        _taking(lambda data: list(events_of(read_request(data, JSON)))),
        (json.dumps(_OTLP).encode(),),
        (
            "logRecords",
            "log_records",
            "kvlistValue",
            "doubleValue",
            "bytesValue",
            "NaN",
            "observedTimeUnixNano",
        ),
    ),
    Target(
        "otlp_protobuf",
        _taking(lambda data: list(events_of(read_request(data, PROTOBUF)))),
        (_protobuf(),),
    ),
)
