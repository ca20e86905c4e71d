"""What a real HAProxy logged is what was sent to it, request for request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.gateway_requests import (
    Request,
    as_sent,
    collect_log,
    outcomes_of,
    outcomes_of_minutes,
    send_requests,
    wait_for_lines,
)
from tests.servers.haproxy import TIMEZONE, HAProxy, run_haproxy
from userdb.store import Store

pytestmark = pytest.mark.haproxy


@pytest.fixture(scope="module")
def haproxy() -> Iterator[HAProxy]:
    with run_haproxy() as server:
        yield server


@pytest.fixture(scope="module")
def sent(haproxy: HAProxy) -> Counter[Request]:
    requests = send_requests(haproxy)
    wait_for_lines(haproxy.folder / "http.log", sum(requests.values()))
    return requests


def test_every_request_is_a_row(
    sqlite_store: Store, haproxy: HAProxy, sent: Counter[Request]
) -> None:
    report, rows = collect_log(
        sqlite_store, haproxy.folder / "http.log", "haproxy_http", timezone=TIMEZONE
    )
    assert (report.rows, report.rejected) == (sum(sent.values()), 0)
    assert as_sent(rows) == sent
    outcomes = Counter(row.outcome for row in rows)
    assert outcomes_of_minutes(sqlite_store, "http.log") == outcomes
    assert outcomes == outcomes_of(sent)
    by_path = {row.path: row for row in rows}
    timed_out = by_path["/slow/200"]
    assert (timed_out.outcome, timed_out.outcome_reason) == ("timeout", "termination_state=sH--")
    assert 900 <= timed_out.duration_ms < 5000
    assert (timed_out.service, timed_out.instance) == ("app", "app1")
    down = by_path["/down/1"]
    assert (down.outcome, down.outcome_reason) == ("server_error", "termination_state=SC--")
    denied = by_path["/forbidden/1"]
    assert (denied.outcome, denied.outcome_reason) == ("auth_failure", "status_code=403")
    assert denied.instance is None
    assert by_path["/absolute/200"].host == "other.example.org"
    assert by_path[None].outcome == "client_error"
    # in the zone of the server, whose times name none
    assert all(abs(row.occurred_at - datetime.now(UTC)) < timedelta(minutes=10) for row in rows)


def test_every_connection_is_a_row(sqlite_store: Store, haproxy: HAProxy) -> None:
    path = haproxy.folder / "tcp.log"
    before = path.read_bytes().count(b"\n")
    streams = haproxy.streams()
    for _ in range(5):
        assert streams.get("/a/200") == 200
    assert streams.send_raw(b"GET /slow/200 HTTP/1.1\r\nHost: a\r\n\r\n") == b""
    wait_for_lines(path, before + 6)
    report, rows = collect_log(sqlite_store, path, "haproxy_tcp", timezone=TIMEZONE)
    assert (report.rows, report.rejected) == (before + 6, 0)
    outcomes = Counter((row.outcome, row.outcome_reason) for row in rows[before:])
    assert outcomes["timeout", "termination_state=sD"] == 1
    # who hung up first decides between a normal end and the client's
    assert sum(outcomes.values()) == 6
    assert {row.status for row in rows} == {None}
    assert {(row.service, row.instance) for row in rows} == {("stream", "stream1")}
