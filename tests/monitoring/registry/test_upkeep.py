"""Upkeep: checks against real servers, expiry, the floor, and what is told of them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from monitoring import chain
from monitoring.alerts.search import list_alerts
from monitoring.audit import list_audit
from monitoring.registry.checking import Target, check_all
from monitoring.registry.definition import HealthCheck, Registration, ServiceSettings
from monitoring.registry.registration import deregister, heartbeat, register
from monitoring.registry.rows import ServiceState, read_service
from monitoring.registry.services import set_service
from monitoring.registry.upkeep import UpkeepReport, keep_up
from monitoring.status import read_status
from monitoring.window import Window
from sqlalchemy import select

from include.collectors.config import Settings
from include.collectors.run import run_collector
from userdb.models import MonitorEvent
from userdb.store import Store

T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


class _Handler(BaseHTTPRequestHandler):
    """Answers with the status in the path; drips its headers on /drip."""

    def do_GET(self) -> None:
        if self.path == "/drip":
            for _ in range(200):
                self.wfile.write(b"H")
                time.sleep(0.05)
            return
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Location", "/200")
        self.end_headers()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def web() -> Iterator[int]:
    """The port of an HTTP server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def closed() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def http(path: str, **given: Any) -> HealthCheck:
    return HealthCheck(kind="http", path=path, **given)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/200", None),
        ("/204", None),
        ("/302", None),
        ("/404", "GET /404 answered 404"),
        ("/503", "GET /503 answered 503"),
        ("/drip", "no answer within 1 s"),
    ],
)
def test_a_check_over_http_passes_below_400_and_within_its_time(
    web: int, path: str, why: str | None
) -> None:
    target = Target("a", "127.0.0.1", web, http(path, timeout_s=1))
    began = time.monotonic()
    assert check_all([target], deadline_s=20) == {"a": why}
    assert time.monotonic() - began < 6


def test_a_check_over_tcp_connects(web: int, closed: int) -> None:
    check = HealthCheck(kind="tcp")
    found = check_all(
        [
            Target("up", "127.0.0.1", web, check),
            Target("down", "127.0.0.1", closed, check),
            Target("nowhere", "no-such-host.invalid", 80, http("/")),
        ],
        deadline_s=20,
    )
    assert found["up"] is None
    assert found["down"]
    assert found["nowhere"]


def test_checks_run_at_once_but_never_more_than_allowed(web: int) -> None:
    targets = [Target(str(n), "127.0.0.1", web, http("/drip", timeout_s=0.4)) for n in range(12)]
    began = time.monotonic()
    assert len(check_all(targets, deadline_s=20, concurrency=4)) == 12
    assert 1.2 <= time.monotonic() - began < 12 * 0.4


def test_checks_that_time_is_over_for_are_left_out(web: int) -> None:
    targets = [Target(str(n), "127.0.0.1", web, http("/drip", timeout_s=0.4)) for n in range(12)]
    began = time.monotonic()
    assert 0 < len(check_all(targets, deadline_s=0.6, concurrency=4)) < 12
    assert time.monotonic() - began < 6


def enrol(store: Store, number: int, seconds: float = 0, **given: Any) -> str:
    asked = {
        "service": "sim",
        "instance_id": f"sim-{number}",
        "address": "10.0.0.1",
        "port": 8000 + number,
        "ttl_s": 30,
        **given,
    }
    return register(store, Registration(**asked), by="key:node", now=at(seconds)).instance.id


def upkeep(store: Store, seconds: float) -> UpkeepReport:
    return keep_up(store, now=at(seconds), checks_for_s=20)


def events(store: Store) -> list[tuple[str, str | None]]:
    with store.read() as connection:
        rows = connection.execute(select(*MonitorEvent.__table__.c).order_by(MonitorEvent.id))
        return [(row.exception_type, row.instance) for row in rows]


def service(store: Store, seconds: float) -> ServiceState:
    with store.read() as connection:
        found = read_service(connection, "sim", now=at(seconds))
    assert found is not None
    return found


def test_an_expired_instance_is_told_once_then_deregistered_and_told(store: Store) -> None:
    enrol(store, 1, container="sim-1")
    for number in (2, 3):
        enrol(store, number, ttl_s=3600)
    assert upkeep(store, 29) == UpkeepReport()
    assert upkeep(store, 30).unhealthy == 1
    assert upkeep(store, 60) == UpkeepReport()
    assert upkeep(store, 120).deregistered == 1
    assert upkeep(store, 180) == UpkeepReport()
    assert events(store) == [
        ("InstanceUnhealthy", "sim-1"),
        ("InstanceDeregistered", "sim-1"),
    ]
    with store.read() as connection:
        newest = list_audit(connection)[0]
        event = connection.execute(select(*MonitorEvent.__table__.c)).first()
    assert (newest.action, newest.principal, newest.after) == ("expire", "upkeep", None)
    assert event is not None
    assert (event.service, event.container, event.source) == ("sim", "sim-1", "registry")


def test_a_heartbeat_makes_an_instance_healthy_again_and_that_is_told(store: Store) -> None:
    instance = enrol(store, 1)
    enrol(store, 2, ttl_s=3600)
    upkeep(store, 45)
    heartbeat(store, instance, now=at(50))
    assert upkeep(store, 60).recovered == 1
    assert events(store) == [("InstanceUnhealthy", "sim-1"), ("InstanceRecovered", "sim-1")]


def test_mass_expiry_deregisters_nobody_and_is_told_every_minute_it_lasts(store: Store) -> None:
    instances = [enrol(store, number) for number in range(4)]
    for minutes in (60, 61, 62):
        # tried again within the minute: told once
        for seconds in (minutes * 60, minutes * 60 + 5):
            report = upkeep(store, seconds)
            assert (report.protected, report.deregistered) == (["sim"], 0)
    told = [kind for kind, _ in events(store)]
    assert told.count("MassExpiry") == 3
    assert read_status(store, now=at(3800), collectors=[]).protected_services == ("sim",)
    state = service(store, 3800)
    assert (len(state.instances), len(state.in_service), state.healthy) == (4, 2, 0)
    for instance in instances[:2]:
        heartbeat(store, instance, now=at(3900))
    # enough are healthy again: the floor holds the others no longer
    assert upkeep(store, 3901).deregistered == 2
    assert [one.instance_id for one in service(store, 3901).in_service] == ["sim-0", "sim-1"]
    assert read_status(store, now=at(3901), collectors=[]).protected_services == ()


def test_mass_expiry_opens_an_alert_that_resolves_when_it_is_over(sqlite_store: Store) -> None:
    for number in range(3):
        enrol(sqlite_store, number)
    for minute in range(10, 21):
        if minute == 16:  # as clients do that are told that they are forgotten
            for number in range(3):
                enrol(sqlite_store, number, minute * 60, ttl_s=3600)
        upkeep(sqlite_store, minute * 60 + 1)
    window = Window(at(0), at(1800))
    run_collector("gateway_exceptions", window, sqlite_store, now=window.end, settings=Settings())
    chain.score_policies(window, sqlite_store, now=window.end)
    chain.update_alerts(sqlite_store, now=window.end)
    with sqlite_store.read() as connection:
        (alert,) = list_alerts(connection)
    assert (alert.policy, alert.labels, alert.severity) == (
        *("service-mass-expiry", {"service": "sim"}, "critical"),
    )
    # the event of 10:10:01 is known at 10:11; the last one's is five minutes old at 10:21
    assert (alert.fired_at, alert.resolved_at) == (at(11 * 60), at(21 * 60))


def test_a_service_without_a_floor_is_emptied(store: Store) -> None:
    set_service(store, "sim", ServiceSettings(floor=0), by="user:ann", now=T0)
    enrol(store, 1)
    assert upkeep(store, 120).deregistered == 1
    assert service(store, 120).instances == ()


def test_failing_checks_make_unhealthy_after_as_many_as_allowed(
    store: Store, web: int, closed: int
) -> None:
    enrol(store, 1, 0, address="127.0.0.1", port=closed, ttl_s=3600, health_check=http("/200"))
    enrol(store, 2, 0, address="127.0.0.1", port=web, ttl_s=3600, health_check=http("/200"))
    first = upkeep(store, 60)
    assert (first.checked, first.failing, first.unhealthy) == (2, 1, 0)
    assert upkeep(store, 120).unhealthy == 1
    bad, good = service(store, 121).instances
    assert (bad.state, bad.reason, good.state) == (
        "unhealthy",
        "2 checks in a row failed",
        "healthy",
    )
    assert bad.check_message
    assert (good.state, good.checked_at, good.check_message) == ("healthy", at(120), None)
    # it moved to where it works: what failed was something else
    enrol(store, 1, 130, address="localhost", port=web, ttl_s=3600, health_check=http("/200"))
    assert service(store, 130).healthy == 2
    assert upkeep(store, 180).recovered == 1


def test_what_leaves_while_it_is_checked_is_not_written_back(
    sqlite_store: Store, web: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = enrol(sqlite_store, 1, address="127.0.0.1", port=web, health_check=http("/503"))

    def leaves(*args: Any, **given: Any) -> Any:
        found = check_all(*args, **given)
        deregister(sqlite_store, instance, by="key:node", now=at(1))
        return found

    monkeypatch.setattr("monitoring.registry.upkeep.check_all", leaves)
    upkeep(sqlite_store, 2)
    assert service(sqlite_store, 2).instances == ()
