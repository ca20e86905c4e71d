"""The plugin in a real Airflow: loaded without errors, and closed to strangers."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from monitoring.notify.tokens import Grant, make_token

from tests.e2e.conftest import Platform

# a busy machine starts a task in seconds, not in tenths of one
pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(900)]

ROUTES = [
    "/monitoring/api/v1/alerts",
    "/monitoring/api/v1/alerts/1/history",
    "/monitoring/api/v1/status",
    "/monitoring/api/v1/collections",
    "/monitoring/openapi.json",
]

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


@pytest.mark.parametrize("route", ROUTES)
def test_strangers_are_refused(platform: Platform, route: str) -> None:
    response = platform.anonymous("GET", route)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    forged = platform.anonymous("GET", route, Authorization="Bearer e30.e30.e30")
    assert forged.status_code in (401, 403)


def test_strangers_without_a_token_can_acknowledge_nothing(platform: Platform) -> None:
    secret = platform.server.environment["MONITORING_CALLBACK_SECRET"]
    for key, status in (("another", 403), (secret, 409)):
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


def test_every_documented_route_is_in_the_list_above(platform: Platform) -> None:
    paths = platform.server.api.get("//monitoring/openapi.json")["paths"]
    documented = {f"/monitoring{path}".replace("{alert_id}", "1") for path in paths}
    assert documented | {"/monitoring/openapi.json"} == {*ROUTES, CALLBACKS}
    for path in ("/monitoring/docs", "/monitoring/redoc"):
        assert platform.anonymous("GET", path).status_code == 404


def test_viewer_may_read(platform: Platform) -> None:
    passwords = json.loads((platform.server.home / "passwords.json").read_text())
    token = platform.anonymous("GET", "/api/v2/version")
    assert token.ok
    import requests

    answer = requests.post(
        f"{platform.server.url}/auth/token",
        json={"username": "viewer", "password": passwords["viewer"]},
        timeout=30,
        proxies={"http": ""},
    )
    bearer = f"Bearer {answer.json()['access_token']}"
    response = platform.anonymous("GET", "/monitoring/api/v1/alerts", Authorization=bearer)
    assert response.status_code == 200
