"""Sentry's envelopes into events, as pure functions."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.intake.sent import SentEvent, Unreadable
from monitoring.intake.sentry import read_envelope

from userdb.errors import InvalidRequestError

ID = "fc6d8c0c43fc4630ad850ee518f1b9d0"


def frame(function: str, line: int = 1, **given: Any) -> dict[str, Any]:
    return {
        "function": function,
        "module": "app.pay",
        "abs_path": "/srv/pay.py",
        "lineno": line,
        **given,
    }


def event(**given: Any) -> dict[str, Any]:
    return {
        "event_id": ID,
        "timestamp": "2026-03-01T10:00:00.5Z",
        "level": "fatal",
        "logger": "app.payments",
        "server_name": "node-1",
        "release": "1.2",
        "tags": {"service": "sim-7", "container": "c-1"},
        "user": {"email": "who@example.com"},
        "request": {"method": "GET", "url": "http://x/", "headers": {"Cookie": "secret"}},
        "exception": {
            "values": [
                {"type": "KeyError", "module": "builtins", "value": "'a'"},
                {
                    "type": "Declined",
                    "module": "app.errors",
                    "value": "card",
                    "stacktrace": {"frames": [frame("main"), frame("pay", 7)]},
                },
            ]
        },
        **given,
    }


def envelope(*items: tuple[dict[str, Any], bytes], **header: Any) -> bytes:
    parts = [json.dumps(header or {"event_id": ID}).encode()]
    for head, payload in items:
        parts += [json.dumps({"length": len(payload), **head}).encode(), payload]
    return b"\n".join(parts) + b"\n"


def read(**given: Any) -> SentEvent:
    body = envelope(({"type": "event"}, json.dumps(event(**given)).encode()))
    (found,) = read_envelope(body).events
    assert isinstance(found, SentEvent), found
    return found


def test_an_event_is_read_with_its_labels_and_the_exception_that_was_raised_last() -> None:
    found = read()
    assert (found.event_id, found.level, found.source) == (ID, "critical", "app.payments")
    assert found.occurred_at == datetime(2026, 3, 1, 10, 0, 0, 500_000, tzinfo=UTC)
    assert (found.service, found.instance, found.container) == ("sim-7", "node-1", "c-1")
    assert (found.exception_type, found.message) == (
        "app.errors.Declined",
        "app.errors.Declined: card",
    )
    assert found.detail is not None
    assert found.detail["exception"]["stack"].endswith('File "/srv/pay.py", line 7, in pay')
    assert found.detail["caused_by"][0]["type"] == "KeyError"


def test_what_may_be_secret_is_not_kept() -> None:
    text = str(read().detail)
    assert "secret" not in text
    assert "who@example.com" not in text
    assert "http://x/" in text


def test_events_of_one_cause_have_one_fingerprint() -> None:
    def stack(*frames: dict[str, Any], kind: str = "Declined") -> dict[str, Any]:
        return {"exception": {"values": [{"type": kind, "stacktrace": {"frames": list(frames)}}]}}

    def of(**given: Any) -> str | None:
        return read(**given).fingerprint

    base = of(**stack(frame("main"), frame("pay")))
    assert of(**stack(frame("main", 5), frame("pay", 9))) == base
    assert of(**stack(frame("main"), frame("refund"))) != base
    assert of(**stack(frame("main"), frame("pay"), kind="Timeout")) != base
    own = [frame("main", in_app=True), frame("lib", in_app=False)]
    assert of(**stack(*own)) == of(**stack(own[0], frame("other", in_app=False)))
    # a given one wins, whatever the stack
    given = {"fingerprint": ["payments", "declined"]}
    assert of(**given) == of(**given, **stack(frame("x"))) != base
    assert of(fingerprint=["{{ default }}"], **stack(frame("main"), frame("pay"))) == base
    assert of(fingerprint=["{{ default }}", "eu"], **stack(frame("main"), frame("pay"))) != base
    # a message's template, and not what was filled in
    assert of(exception=None, logentry={"message": "order %s", "formatted": "order 1"}) == of(
        exception=None, logentry={"message": "order %s", "formatted": "order 2"}
    )


def test_other_items_are_left_out_and_payloads_may_hold_newlines() -> None:
    body = envelope(
        ({"type": "session"}, b'{"sid": 1}'),
        ({"type": "attachment", "filename": "x"}, b'\n{"type":"event"}\n{"message":"no"}\n\xff'),
        ({"type": "event"}, json.dumps(event(message="x"), indent=1).encode()),
        ({"type": "client_report"}, b"{}"),
    )
    found = read_envelope(body)
    assert found.event_id == ID
    assert len(found.events) == 1


def test_an_item_without_a_length_ends_with_its_line() -> None:
    body = (
        b'{}\n{"type":"event"}\n{"event_id":"a","message":"m"}\n{"type":"event"}\n{"message":"n"}'
    )
    found = read_envelope(body)
    assert [one.message for one in found.events if isinstance(one, SentEvent)] == ["m", "n"]
    assert found.event_id == "a"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"timestamp": 1772359200.5}, datetime(2026, 3, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
        ({"timestamp": "2026-03-01T10:00:00"}, datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ({"timestamp": None}, None),
    ],
)
def test_times_are_text_with_or_without_zone_or_seconds(given: Any, expected: Any) -> None:
    assert read(**given).occurred_at == expected


def test_an_event_that_makes_no_sense_stands_for_itself() -> None:
    good = json.dumps(event()).encode()
    body = envelope(
        ({"type": "event"}, b"nonsense"),
        ({"type": "event"}, json.dumps(event(timestamp="soon")).encode()),
        ({"type": "event"}, good),
    )
    first, second, third = read_envelope(body).events
    assert isinstance(first, Unreadable)
    assert isinstance(second, Unreadable)
    assert "'soon' is no time" in second.why
    assert isinstance(third, SentEvent)


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]\n", b"{}\nx", b'{}\n{"type":"event","length":99}\n{}',
     b'{}\n{"length":-1}\n', b'{}\n{"length":"4"}\n{}  '],
)  # fmt: skip
def test_what_is_no_envelope_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        read_envelope(body)


@given(st.binary(), st.lists(st.binary()))
def test_any_bytes_are_an_envelope_or_refused(head: bytes, rest: list[bytes]) -> None:
    for body in (head, b'{}\n{"type":"event"}\n' + head, b"\n".join([b"{}", *rest])):
        with contextlib.suppress(InvalidRequestError):
            read_envelope(body)
