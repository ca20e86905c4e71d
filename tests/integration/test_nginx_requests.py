"""What a real nginx logged is what was sent to it, request for request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from monitoring.window import Window
from sqlalchemy import select

from include.collectors.config import Settings
from include.collectors.run import run_collector
from tests.integration.gateway_requests import (
    Request,
    as_sent,
    collect_log,
    outcomes_of,
    outcomes_of_minutes,
    send_requests,
    wait_for,
    wait_for_lines,
)
from tests.servers.nginx import OWN_FORMAT, TIMEZONE, Nginx, run_nginx
from userdb.ledger import CollectionReport
from userdb.models import RequestLog, RequestMinute, Series
from userdb.store import Store

pytestmark = pytest.mark.nginx

_BASIC = {"wrong": "Basic b3BlcmF0b3I6bm8=", "right": "Basic b3BlcmF0b3I6ZGVtbw=="}


@pytest.fixture(scope="module")
def nginx() -> Iterator[Nginx]:
    with run_nginx() as server:
        yield server


@pytest.fixture(scope="module")
def sent(nginx: Nginx) -> Counter[tuple[str, int]]:
    """Requests by route and status, sent over a rotation by rename."""
    requests: Counter[tuple[str, int]] = Counter()

    def get(path: str, route: str, **headers: str) -> None:
        requests[route, nginx.get(path, **headers)] += 1

    for number in range(30):
        get(f"/items/{number}/200?token=secret", "/items/{id}/{id}")
    for status in (201, 302, 404, 401, 403, 500, 502, 503):
        get(f"/answer/{status}", "/answer/{id}")
    get("/forbidden/1", "/forbidden/{id}")
    get("/admin/200", "/admin/{id}")
    get("/admin/200", "/admin/{id}", Authorization=_BASIC["wrong"])
    get("/admin/200", "/admin/{id}", Authorization=_BASIC["right"])
    get("/down/1", "/down/{id}")
    get("/slow/200", "/slow/{id}")
    for name in ("json.log", "combined.log"):
        (nginx.folder / name).rename(nginx.folder / f"{name}.1")
    nginx.reopen_logs()
    wait_for((nginx.folder / "json.log").exists)
    for _ in range(3):
        nginx.give_up("/slow/200", 0.3)
        requests["/slow/{id}", 499] += 1
    nginx.send_raw(b"\x16\x03\x01\x02\x00 not HTTP\r\n\r\n")
    requests["", 400] += 1
    get("/caf%C3%A9/%22quoted%22/200", "/caf%C3%A9/%22quoted%22/{id}")
    expected = sum(requests.values())

    def logged() -> int:
        files = (nginx.folder / "json.log", nginx.folder / "json.log.1")
        return sum(file.read_bytes().count(b"\n") for file in files)

    wait_for(lambda: logged() >= expected)
    return requests


def _collect(store: Store, nginx: Nginx, log_format: str) -> CollectionReport:
    settings = Settings.model_validate(
        {
            "request_logs": {
                "sources": [
                    {
                        "name": "gateway",
                        "paths": [f"{nginx.folder}/{log_format.removeprefix('nginx_')}.log*"],
                        "format": log_format,
                        "service": "shop",
                    }
                ]
            }
        }
    )
    # a test's own time: the collector is told, and reads no clock
    end = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    window = Window(end - timedelta(minutes=10), end)
    return run_collector("request_logs", window, store, now=end, settings=settings)


@pytest.mark.parametrize("log_format", ["nginx_json", "nginx_combined"])
def test_every_request_is_counted_once(
    store: Store, nginx: Nginx, sent: Counter[tuple[str, int]], log_format: str
) -> None:
    report = _collect(store, nginx, log_format)
    _collect(store, nginx, log_format)
    assert (report.rows, report.rejected) == (sum(sent.values()), 0)
    with store.read() as connection:
        rows = connection.execute(select(*RequestLog.__table__.c)).all()
        minutes = connection.execute(
            select(*RequestMinute.__table__.c, Series.labels).join(
                Series, Series.id == RequestMinute.series_id
            )
        ).all()
    found = Counter((row.route or "", row.status) for row in rows)
    if log_format == "nginx_json":
        # nginx has "/" or nothing as the URI of what is no request
        found["", 400] += found.pop(("/", 400), 0)
    assert found == sent
    outcomes = Counter(row.outcome for row in rows)
    assert outcomes == {
        "ok": 34,
        "client_error": 2,
        "auth_failure": 5,
        "timeout": 4,
        "server_error": 4,
    }
    assert Counter({name: sum(getattr(row, name) for row in minutes) for name in outcomes}) == (
        outcomes
    )
    assert {row.labels["service"] for row in minutes} == {"shop"}
    assert not any("secret" in (row.path or "") for row in rows)


_LOGS: dict[str, tuple[str, dict[str, Any]]] = {
    "nginx_json": ("json.log", {}),
    "nginx_combined": ("combined.log", {}),
    "nginx_log_format": ("own.log", {"log_format": OWN_FORMAT}),
}


@pytest.fixture(scope="module")
def loaded() -> Iterator[tuple[Nginx, Counter[Request]]]:
    """Another nginx, and what was sent to it: much of it at once."""
    with run_nginx() as server:
        requests = send_requests(server)
        for name, _ in _LOGS.values():
            wait_for_lines(server.folder / name, sum(requests.values()))
        yield server, requests


@pytest.mark.parametrize("log_format", _LOGS)
def test_every_request_of_many_at_once_is_a_row(
    sqlite_store: Store, loaded: tuple[Nginx, Counter[Request]], log_format: str
) -> None:
    (server, sent), (name, options) = loaded, _LOGS[log_format]
    report, rows = collect_log(sqlite_store, server.folder / name, log_format, options=options)
    assert (report.rows, report.rejected) == (sum(sent.values()), 0)
    assert as_sent(rows) == sent
    outcomes = Counter(row.outcome for row in rows)
    assert outcomes == outcomes_of(sent)
    assert outcomes_of_minutes(sqlite_store, name) == outcomes


def test_the_error_log_tells_of_failed_log_ins_and_time_limits(
    sqlite_store: Store, nginx: Nginx, sent: Counter[tuple[str, int]]
) -> None:
    path = nginx.folder / "error.log"
    report, rows = collect_log(sqlite_store, path, "nginx_error", timezone=TIMEZONE)
    assert (report.rows, report.rejected) == (4, 0)
    assert Counter((row.outcome, row.outcome_reason) for row in rows) == {
        ("auth_failure", "message=access forbidden by rule"): 1,
        ("auth_failure", "message=password mismatch"): 1,
        ("timeout", "message=upstream timed out"): 1,
        ("server_error", "message=while connecting to upstream"): 1,
    }
    by_path = {row.path: row for row in rows}
    assert by_path["/admin/200"].user == "operator"
    assert by_path["/slow/200"].instance.startswith("127.0.0.1:")
    assert {(row.status, row.duration_ms, row.client) for row in rows} == {
        (None, None, "127.0.0.1")
    }


def test_a_log_format_of_ones_own_is_read_as_the_json_is(
    sqlite_store: Store, nginx: Nginx, sent: Counter[tuple[str, int]]
) -> None:
    report, rows = collect_log(
        sqlite_store,
        nginx.folder / "own.log",
        "nginx_log_format",
        options={"log_format": OWN_FORMAT},
    )
    assert (report.rows, report.rejected) == (sum(sent.values()), 0)
    _, said = collect_log(sqlite_store, nginx.folder / "json.log*", "nginx_json")
    names = ("occurred_at", "client", "user", "status", "duration_ms", "bytes_sent", "instance")

    def told(row: Any) -> tuple[Any, ...]:
        return (*(getattr(row, name) for name in names), row.request_id)

    assert sorted(map(told, rows), key=str) == sorted(map(told, said), key=str)


def test_durations_and_upstreams(
    sqlite_store: Store, nginx: Nginx, sent: Counter[tuple[str, int]]
) -> None:
    _collect(sqlite_store, nginx, "nginx_json")
    with sqlite_store.read() as connection:
        rows = connection.execute(select(*RequestLog.__table__.c)).all()
    (timed_out,) = [row for row in rows if row.status == 504]
    assert 900 <= timed_out.duration_ms < 5000
    assert timed_out.instance.startswith("127.0.0.1:")
    (denied,) = [row for row in rows if row.path == "/forbidden/1"]
    assert denied.instance is None
    assert {row.client for row in rows} == {"127.0.0.1"}
    (right,) = [row for row in rows if row.path == "/admin/200" and row.status == 200]
    assert right.user == "operator"
