"""A real nginx with what `monitoring gateway render nginx` writes: it routes as the table says."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from monitoring.cli import app
from monitoring.registry.definition import Registration
from monitoring.registry.registration import register
from monitoring.routes.definition import RouteSpec
from monitoring.routes.match import RequestLine, winner
from monitoring.routes.table import create_route, list_routes, patched, replace_route
from monitoring.window import Window
from sqlalchemy import select
from typer.testing import CliRunner

from include.collectors.config import Settings
from include.collectors.run import run_collector
from tests.integration.gateway_requests import collect_log
from tests.monitoring.routes.tables import ASKED, HEADERS, HOSTS, METHODS, PATHS, REGEXES
from tests.servers.nginx import Nginx, nginx_folder, started_nginx
from tests.servers.upstream import free_port
from userdb.errors import ConflictError
from userdb.models import RequestLog
from userdb.store import Store

pytestmark = pytest.mark.nginx

_CONFIGURATION = """
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/monitoring.conf;
}}
"""


class _Instance(BaseHTTPRequestHandler):
    """Says which instance it is and what it was asked; waits on /slow."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/slow"):
            time.sleep(1)
        name = self.server.name  # type: ignore[attr-defined]
        asked = {"instance": name, "path": self.path, "host": self.headers["Host"]}
        body = b"" if self.command == "HEAD" else json.dumps(asked).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_HEAD = do_GET

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """Two instances of a service, by name."""
    servers = []
    for name in ("sim-1", "sim-2"):
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Instance)
        server.name = name  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append((name, server))
    yield {name: server.server_address[1] for name, server in servers}
    for _, server in servers:
        server.shutdown()
        server.server_close()


class Gateway:
    """nginx, configured by the command from the test's userdb."""

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx

    def update(self) -> str:
        """Render again, and reload where that changed something."""
        said = render(self.nginx.folder, self.nginx.port)
        if said == "changed":
            before = self._workers()
            self.nginx.reload()
            # the new configuration is in force once none of the old workers takes requests
            wait_for(lambda: not before & self._workers())
        return said

    def _workers(self) -> set[int]:
        children = Path(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children")
        return {int(child) for child in children.read_text().split()}

    def ask(
        self, path: str, host: str = "a.example", method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.nginx.port, timeout=10)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers={"Host": host, **named})
            response = connection.getresponse()
            body = response.read()
            json_body = response.status == 200 and method != "HEAD"
            return response.status, json.loads(body) if json_body else {}
        finally:
            connection.close()

    def instances(self, path: str, times: int = 8) -> set[str]:
        return {self.ask(path)[1]["instance"] for _ in range(times)}

    def log(self, expected: int) -> list[dict[str, str]]:
        path = self.nginx.folder / "access.log"
        wait_for(lambda: path.read_bytes().count(b"\n") >= expected)
        return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def render(folder: Path, port: int) -> str:
    done = CliRunner().invoke(
        app,
        [
            *("gateway", "render", "nginx", "--listen", f"127.0.0.1:{port}"),
            *("--access-log", str(folder / "access.log")),
            *("--output", str(folder / "monitoring.conf")),
        ],
    )
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output.strip()


@pytest.fixture
def gateway(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setenv("USERDB_URL", str(sqlite_store.url.url))
    with nginx_folder() as folder:
        port = free_port()
        assert render(folder, port) == "changed"
        configuration = _CONFIGURATION.format(folder=folder)
        with started_nginx(folder, configuration, port) as nginx:
            yield Gateway(nginx)


def enrol(store: Store, name: str, port: int, **given: Any) -> datetime:
    """Register an instance; returns when its lease ends."""
    asked = Registration(service="sim", instance_id=name, address="127.0.0.1", port=port, **given)
    now = datetime.now(UTC)
    return register(store, asked, by="test", now=now).instance.lease_until


def add(store: Store, name: str, **given: Any) -> str:
    spec = RouteSpec.model_validate({"name": name, "service": "sim", **given})
    return create_route(store, spec, by="test", now=datetime.now(UTC))[0].id


def test_traffic_follows_a_registration_a_route_change_and_an_expiry(
    sqlite_store: Store, gateway: Gateway, ports: dict[str, int]
) -> None:
    assert gateway.ask("/sim/1")[0] == 404
    enrol(sqlite_store, "sim-1", ports["sim-1"], ttl_s=3600)
    route = add(sqlite_store, "sim", path="/sim", strip_prefix=True)
    assert gateway.update() == "changed"
    assert gateway.update() == "unchanged"
    assert gateway.ask("/sim/a%20b?q=%2F") == (
        200,
        {"instance": "sim-1", "path": "/a%20b?q=%2F", "host": "a.example"},
    )
    assert gateway.ask("/sim")[1]["path"] == "/"
    assert gateway.ask("/simulation")[0] == 404

    # a registration
    until = enrol(sqlite_store, "sim-2", ports["sim-2"], ttl_s=3)
    gateway.update()
    assert gateway.instances("/sim/") == {"sim-1", "sim-2"}

    # a route change
    change = patched({"path": "/runs", "strip_prefix": False, "timeout_s": 0.2})
    replace_route(sqlite_store, route, change, by="test", now=datetime.now(UTC))
    add(sqlite_store, "slow", path="/slow", timeout_s=0.2)
    gateway.update()
    assert gateway.ask("/sim/1")[0] == 404
    assert gateway.ask("/runs/1%2F2")[1]["path"] == "/runs/1%2F2"
    assert gateway.ask("/slow")[0] == 504

    # an expiry, without anybody having cleaned up
    wait_for(lambda: datetime.now(UTC) >= until)
    assert gateway.update() == "changed"
    assert gateway.instances("/runs/1") == {"sim-1"}


def test_what_nginx_logged_is_counted_by_service_and_route(
    sqlite_store: Store, gateway: Gateway, ports: dict[str, int]
) -> None:
    enrol(sqlite_store, "sim-1", ports["sim-1"])
    add(sqlite_store, "api", path="/api")
    add(sqlite_store, "API", path="/API")
    add(sqlite_store, "off", path="/off", enabled=False)
    gateway.update()
    for path, times in (("/api/1", 3), ("/API/1", 2), ("/off", 1), ("/nowhere", 1)):
        for _ in range(times):
            gateway.ask(path)
    gateway.log(7)
    source = {
        "name": "gateway",
        "paths": [f"{gateway.nginx.folder}/access.log"],
        "format": "nginx_json",
    }
    settings = Settings.model_validate(
        {"request_logs": {"sources": [{**source, "route": {"template": False}}]}}
    )
    end = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    window = Window(end - timedelta(minutes=5), end)
    report = run_collector("request_logs", window, sqlite_store, now=end, settings=settings)
    assert (report.rows, report.rejected) == (7, 0)
    with sqlite_store.read() as connection:
        rows = connection.execute(select(*RequestLog.__table__.c)).all()
    assert Counter((row.service, row.route, row.status) for row in rows) == {
        ("sim", "api", 200): 3,
        ("sim", "API", 200): 2,
        (None, None, 404): 2,
    }


def test_a_service_without_instances_is_answered_503_and_steals_no_other_route(
    sqlite_store: Store, gateway: Gateway, ports: dict[str, int]
) -> None:
    from monitoring.registry.definition import ServiceSettings
    from monitoring.registry.services import set_service

    enrol(sqlite_store, "sim-1", ports["sim-1"])
    now = datetime.now(UTC)
    for name in ("Sim", "empty"):  # nginx takes sim and Sim for one name
        set_service(sqlite_store, name, ServiceSettings(), by="test", now=now)
    asked = Registration(service="Sim", address="127.0.0.1", port=ports["sim-2"])
    register(sqlite_store, asked, by="test", now=now)
    add(sqlite_store, "rest")
    add(sqlite_store, "none", path="/none", service="empty")
    add(sqlite_store, "upper", path="/upper", service="Sim")
    gateway.update()
    assert gateway.ask("/none/1")[0] == 503
    assert gateway.instances("/upper") == {"sim-2"}
    assert gateway.instances("/other") == {"sim-1"}


def test_nginx_sends_every_request_to_the_winner_of_the_table(
    sqlite_store: Store, gateway: Gateway, ports: dict[str, int]
) -> None:
    """A large table of routes that overlap, and requests for all its corners."""
    enrol(sqlite_store, "sim-1", ports["sim-1"])
    dice = random.Random(20260302)
    for number in range(60):
        kind = dice.choice(("prefix", "exact", "regex"))
        given = {
            "hosts": dice.sample(HOSTS, dice.choice((0, 1, 2))),
            "path_type": kind,
            "path": dice.choice(REGEXES if kind == "regex" else PATHS),
            "methods": dice.sample(METHODS, dice.choice((0, 0, 1, 2))),
            "headers": dice.choice(HEADERS),
            "priority": dice.choice((0, 0, 0, 1, -1)),
        }
        try:
            add(sqlite_store, f"route-{number}", **given)
        except ConflictError:
            continue
    gateway.update()
    with sqlite_store.read() as connection:
        table = [one.spec for one in list_routes(connection)]
    assert len(table) > 40
    expected = []
    for _ in range(300):
        request = RequestLine(
            host=dice.choice(("a.example", "b.example", "x.b.example", "y.x.b.example", "other")),
            path=dice.choice([path for path in ASKED if path.isprintable()]),
            method=dice.choice(METHODS),
            headers=dice.choice(HEADERS),
        )
        won = winner(table, request)
        expected.append((request, "-" if won is None else won.name))
        gateway.ask(request.path, request.host, request.method, **request.headers)
    logged = [line["route"] for line in gateway.log(len(expected))]
    assert len(set(logged)) > 15
    for (request, name), found in zip(expected, logged, strict=True):
        assert found == name, request
    _looked_up_without_names(sqlite_store, gateway, table, [request for request, _ in expected])


def _looked_up_without_names(
    store: Store, gateway: Gateway, table: list[RouteSpec], asked: list[RequestLine]
) -> None:
    """From a log that names neither route nor service, the look-up tells the same requests' routes,
    but for those that ask for headers, and each request's instance."""
    path = gateway.nginx.folder / "unnamed.log"
    lines = gateway.log(len(asked))
    unnamed = [
        {name: value for name, value in line.items() if name not in ("route", "service")}
        for line in lines
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in unnamed))
    report, rows = collect_log(store, path, "nginx_json", route={"template": False})
    assert (report.rows, report.rejected) == (len(asked), 0)
    told = [route for route in table if not route.headers]
    won = [winner(told, request) for request in asked]
    assert [row.route for row in rows] == [None if one is None else one.name for one in won]
    served = [line["status"] == "200" for line in lines]
    assert [row.instance for row in rows] == ["sim-1" if yes else None for yes in served]
    assert {row.service for row in rows} == {"sim", None}
