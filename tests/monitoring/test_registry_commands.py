"""``monitoring services``, ``routes`` and ``gateway``, as people type them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from monitoring.cli import app
from monitoring.registry.definition import HealthCheck, Registration
from monitoring.registry.registration import register
from monitoring.routes.definition import RouteSpec
from monitoring.routes.table import create_route
from typer.testing import CliRunner

from userdb.store import Store


@pytest.fixture
def filled(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A service with a healthy instance, an expired one and one without an address; two routes."""
    monkeypatch.setenv("USERDB_URL", str(sqlite_store.url.url))
    now = datetime.now(UTC)
    for address, age, check in (
        ("::1", 0, HealthCheck(kind="tcp")),
        ("10.0.0.1", 60, None),
        ("no-such-host.invalid", 0, None),
    ):
        asked = Registration(service="sim", address=address, port=80, health_check=check)
        register(sqlite_store, asked, by="test", now=now - timedelta(seconds=age))
    for name, path, enabled in (("root", "/", True), ("api", "/api", True), ("off", "/o", False)):
        spec = RouteSpec(name=name, path=path, service="sim", enabled=enabled)
        create_route(sqlite_store, spec, by="test", now=now)
    return sqlite_store


def monitoring(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_services_are_listed_as_their_leases_stand(filled: Store) -> None:
    (service,) = json.loads(monitoring("services", "list", "--format", "json"))
    assert [(one["instance_id"], one["state"]) for one in service["instances"]] == [
        ("10.0.0.1:80", "unhealthy"),
        ("[::1]:80", "healthy"),
        ("no-such-host.invalid:80", "healthy"),
    ]
    table = monitoring("services", "list")
    assert "[::1]:80" in table
    assert "its lease ended" in table


def test_routes_are_listed_in_the_order_in_which_they_are_asked(filled: Store) -> None:
    rows = json.loads(monitoring("routes", "list", "--format", "json"))
    assert [row["name"] for row in rows] == ["api", "off", "root"]
    assert "(disabled)" in monitoring("routes", "list", "--service", "sim")
    assert json.loads(monitoring("routes", "list", "--service", "x", "--format", "json")) == []


def test_nginx_is_rendered_with_what_is_in_service_now(filled: Store, tmp_path: Path) -> None:
    text = monitoring("gateway", "render", "nginx", "--listen", "127.0.0.1:8080")
    assert "server [::1]:80;" in text
    assert "10.0.0.1" not in text
    assert "@off" not in text
    assert "no-such-host.invalid has no address here" in text  # said on stderr
    path = tmp_path / "monitoring.conf"
    said = [monitoring("gateway", "render", "nginx", "--output", str(path)) for _ in range(2)]
    assert ["unchanged" in one.splitlines() for one in said] == [False, True]
    assert "changed" in said[0].splitlines()
    assert list(tmp_path.glob(".monitoring*")) == []
    done = CliRunner().invoke(app, ["gateway", "render", "nginx", "--listen", "80; evil"])
    assert "is no address" in str(done.exception)
