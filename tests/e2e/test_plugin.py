"""The plugin in a real Airflow: loaded without errors, and closed to strangers."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from monitoring.notify.tokens import Grant, make_token

from tests.e2e.conftest import Platform

# a busy machine starts a task in seconds, not in tenths of one
pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(900)]

#: Open to whoever has a message's token, and to nobody else.
CALLBACKS = "/monitoring/api/v1/callbacks"
ACK = "/monitoring/alerts/ack"

_SCRIPT = """
import json, sys
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
apps = [app for plugin in plugins for app in plugin.fastapi_apps if app["name"] == "monitoring"]
ours = [name for name, module in sys.modules.items()
        if (getattr(module, "__file__", None) or "").startswith(sys.argv[1])]
print(json.dumps({"errors": errors, "apps": len(apps), "modules": sorted(ours)}))
"""


def test_no_import_errors(platform: Platform) -> None:
    assert platform.server.api.get("/plugins/importErrors")["import_errors"] == []
    assert platform.server.api.get("/importErrors")["import_errors"] == []
    plugins = {one["name"]: one for one in platform.server.api.get("/plugins")["plugins"]}
    assert plugins["monitoring"]["fastapi_apps"][0]["url_prefix"] == "/monitoring"


def test_nothing_of_ours_is_loaded_under_a_bare_stem(platform: Platform) -> None:
    plugins = Path(platform.server.environment["AIRFLOW__CORE__PLUGINS_FOLDER"])
    done = subprocess.run(
        [sys.executable, "-P", "-c", _SCRIPT, str(plugins)],
        env=platform.server.environment,
        cwd=platform.server.home,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == {}
    assert found["apps"] == 1
    assert "monitoring.api.app" in found["modules"]
    assert [name for name in found["modules"] if name.split(".")[0] != "monitoring"] == []


def documented(platform: Platform) -> list[tuple[str, str, str | None]]:
    """Method, path and scope of every operation that the API describes, and of the description."""
    paths = platform.server.api.get("//monitoring/openapi.json")["paths"]
    found = [
        (method.upper(), f"/monitoring{path}".translate({ord("{"): None, ord("}"): None}), scope)
        for path, operations in paths.items()
        for method, operation in operations.items()
        for scope in [operation.get("x-scope")]
    ]
    return [*found, ("GET", "/monitoring/openapi.json", "read")]


def test_strangers_are_refused(platform: Platform) -> None:
    routes = documented(platform)
    assert ("GET", "/monitoring/api/v1/alerts", "read") in routes
    for method, path, scope in routes:
        if scope is None:
            continue
        response = platform.anonymous(method, path)
        assert response.status_code == 401, f"{method} {path}"
        assert response.headers["content-type"] == "application/problem+json"
        forged = platform.anonymous(method, path, Authorization="Bearer e30.e30.e30")
        assert forged.status_code in (401, 403), f"{method} {path}"


def test_strangers_without_a_token_can_acknowledge_nothing(platform: Platform) -> None:
    secret = platform.server.environment["MONITORING_CALLBACK_SECRET"]
    for key, status in (("another", 403), (secret, 404)):
        token = make_token(key, Grant("nothing", "oncall"), now=datetime.now(UTC))
        body = {"token": token, "action": "acknowledged"}
        answer = platform.anonymous("POST", CALLBACKS, json=body)
        assert answer.status_code == status, answer.text
        assert platform.anonymous("POST", ACK, data={"token": token}).status_code == status
        page = platform.anonymous("GET", f"{ACK}?token={token}")
        assert page.headers["content-type"].startswith("text/html")
        log = (platform.server.logs / "api-server.log").read_text(errors="replace")
        assert ACK in log
        assert token not in log
    assert platform.anonymous("GET", CALLBACKS).status_code == 405


def test_only_probes_and_callbacks_are_open(platform: Platform) -> None:
    assert {path for _, path, scope in documented(platform) if scope is None} == {
        CALLBACKS,
        "/monitoring/health",
        "/monitoring/ready",
    }
    assert platform.anonymous("GET", "/monitoring/ready").json() == {"status": "ok"}
    for path in ("/monitoring/docs", "/monitoring/redoc"):
        assert platform.anonymous("GET", path).status_code == 404


def bearer(platform: Platform, user: str) -> str:
    passwords = json.loads((platform.server.home / "passwords.json").read_text())
    answer = requests.post(
        f"{platform.server.url}/auth/token",
        json={"username": user, "password": passwords[user]},
        timeout=30,
        proxies={"http": ""},
    )
    return str(answer.json()["access_token"])


def test_a_viewer_may_read_and_nothing_else(platform: Platform) -> None:
    token = bearer(platform, "viewer")
    for method, path, scope in documented(platform):
        if scope is None:
            continue
        response = platform.anonymous(method, path, Authorization=f"Bearer {token}")
        assert (response.status_code == 403) == (scope != "read"), f"{method} {path}"


def test_a_cookie_opens_what_is_read_and_no_other_sites_writes(platform: Platform) -> None:
    cookie = f"_token={bearer(platform, 'admin')}"
    assert platform.anonymous("GET", "/monitoring/api/v1/alerts", Cookie=cookie).ok
    for method, path, scope in documented(platform):
        if scope not in (None, "read"):
            response = platform.anonymous(method, path, Cookie=cookie, Origin="http://evil.example")
            assert response.status_code == 403, f"{method} {path}"
            assert "cookie" in response.json()["detail"]
