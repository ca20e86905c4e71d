"""The plugin in a real Airflow: loaded without errors, and closed to strangers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_every_documented_route_is_in_the_list_above(platform: Platform) -> None:
    paths = platform.server.api.get("//monitoring/openapi.json")["paths"]
    documented = {f"/monitoring{path}".replace("{alert_id}", "1") for path in paths}
    assert documented | {"/monitoring/openapi.json"} == set(ROUTES)
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
