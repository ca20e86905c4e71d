"""The demo's receiver keeps every message, refused ones too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from demo.webhook import Receiver

_PAYLOAD = {"version": "4", "status": "firing", "alerts": [{"labels": {"alertname": "x"}}]}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver(refusals=1)
    yield running
    running.stop()


def test_messages_are_kept_with_their_headers(receiver: Receiver) -> None:
    statuses = [
        requests.post(
            receiver.url, json=_PAYLOAD, headers={"Idempotency-Key": "k1"}, timeout=5
        ).status_code
        for _ in range(2)
    ]

    assert statuses == [503, 200]
    refused, accepted = receiver.messages()
    assert refused.answered == 503
    assert accepted.status == "firing"
    assert accepted.alerts[0]["labels"] == {"alertname": "x"}
    assert accepted.headers["idempotency-key"] == "k1"
    assert accepted.received_at.tzinfo is not None


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]"])
def test_what_is_no_message_is_refused_for_good(receiver: Receiver, body: bytes) -> None:
    assert requests.post(receiver.url, data=body, timeout=5).status_code == 400
    assert receiver.messages() == []
