"""Traffic is bounded, and what its clients see is what the gateway logs."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo.platform import Platform
from demo.processes import LOOPBACK
from demo.routes import route_of
from demo.traffic import HEALTHY, INCIDENT, OUTCOMES, Call, Traffic, outcome_of
from demo.upstream import FAULTS
from include.collectors.request_logs.outcome import AUTH_FAILURES, TIMEOUTS


class _Slow(ThreadingHTTPServer):
    """Answers when told to, and knows how many wait."""

    daemon_threads = True

    def __init__(self) -> None:
        self.release = threading.Event()
        self.waiting = 0
        self.most = 0
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with server.lock:
                    server.waiting += 1
                    server.most = max(server.most, server.waiting)
                server.release.wait(10)
                with server.lock:
                    server.waiting -= 1
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__((LOOPBACK, 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


def test_no_more_than_the_allowed_number_is_under_way() -> None:
    server = _Slow()
    traffic = Traffic(server.server_address[1], rate=100, max_in_flight=5)
    traffic.follow((Call("GET", "/files/1"),))
    traffic.start()
    time.sleep(0.6)
    server.release.set()
    tally = traffic.stop()
    server.shutdown()
    server.server_close()

    assert server.most == 5
    assert tally.held_back > 0


def test_the_rate_is_kept() -> None:
    server = _Slow()
    server.release.set()
    traffic = Traffic(server.server_address[1], rate=40, max_in_flight=20)
    traffic.follow((Call("GET", "/files/1"),))
    traffic.start()
    time.sleep(1.0)
    tally = traffic.stop()
    server.shutdown()
    server.server_close()

    # never faster; slower only as far as the machine is
    assert 5 <= tally.requests + tally.broken <= 45


def test_every_request_that_clients_saw_is_in_the_log(platform: Platform) -> None:
    traffic = Traffic(platform.port, rate=30)
    traffic.start()
    time.sleep(1.5)
    platform.set_faults(FAULTS)
    traffic.follow(INCIDENT)
    time.sleep(1.5)
    platform.set_faults([])
    tally = traffic.stop()

    time.sleep(0.3)  # a client that gave up may be gone before its line is written
    lines = [json.loads(line) for line in platform.log.read_text().splitlines()]
    logged = Counter(
        (route.name, outcome_of(int(line["status"])))
        for line in lines
        if (route := route_of(line["request_uri"]))
    )
    assert logged == tally.seen
    assert tally.broken == 0
    assert {kind for kind, count in tally.by_outcome().items() if count} >= {
        "ok",
        "auth_failure",
        "timeout",
        "server_error",
    }


def test_an_outcome_is_what_the_collector_calls_it() -> None:
    assert {status for status in range(100, 600) if outcome_of(status) == "timeout"} == set(
        TIMEOUTS
    )
    assert {status for status in range(100, 600) if outcome_of(status) == "auth_failure"} == set(
        AUTH_FAILURES
    )
    assert outcome_of(503) == "server_error"
    assert outcome_of(404) == "client_error"
    assert outcome_of(201) == "ok"
    assert set(OUTCOMES) == {outcome_of(status) for status in range(200, 600)}


def test_a_refused_connection_is_no_request() -> None:
    traffic = Traffic(1, rate=50)
    traffic.start()
    time.sleep(0.2)
    tally = traffic.stop()

    assert tally.requests == 0
    assert tally.broken > 0


@pytest.mark.parametrize("calls", [HEALTHY, INCIDENT])
def test_every_call_goes_to_a_route(calls: tuple[Call, ...]) -> None:
    assert all(route_of(call.path) for call in calls)
