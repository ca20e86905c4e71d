"""docs/registry.md is true: its commands run as they stand, and all fields are named."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring.registry.definition import HealthCheck, Registration
from monitoring.routes.definition import RouteSpec

from tests.servers.monitoring_serve import run_serve
from userdb.migrate import upgrade
from userdb.store import open_store

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    store = open_store()
    upgrade(store)
    store.close()
    # the page's command, as this checkout's
    program = tmp_path / "bin" / "monitoring"
    program.parent.mkdir()
    code = "from monitoring.cli import main; main()"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.fixture
def url(home: Path) -> Iterator[str]:
    with run_serve([home / "bin" / "monitoring"], environment(home), home) as address:
        yield address


def environment(home: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        "MONITORING_HOME": str(home),
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
    }


@pytest.mark.curl
def test_the_commands_of_the_page_work_one_after_the_other(home: Path, url: str) -> None:
    key, instances, services, routes, nginx = COMMANDS
    variables: dict[str, str] = {"URL": url}

    def run(command: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=home,
            env={**environment(home), **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def lines(block: str) -> list[str]:
        """The block's commands: a line that goes on is one with the next."""
        return re.findall(
            r"^(?:curl|monitoring)(?:.|\n)*?(?=\n(?:curl|monitoring)|\Z)", block, re.M
        )

    variables["KEY"] = run(f"{key}echo $KEY").strip()

    enrol, heartbeat, leave = lines(instances)
    answer = json.loads(run(enrol))
    assert answer["message"] == "注册成功"
    variables["ID"] = answer["instance"]["id"]
    assert json.loads(run(heartbeat))["state"] == "healthy"
    assert run(leave) == ""
    assert json.loads(run(enrol))["created"] is True

    floor, show, listed = lines(services)
    assert json.loads(run(floor))["floor"] == 0.8
    assert len(json.loads(run(show))["instances"]) == 1
    assert "10.0.0.7:8080" in run(listed)

    create, patch, find, audit, table = lines(routes)
    made = json.loads(run(create))
    variables["ROUTE"] = made["id"]
    assert json.loads(run(patch))["priority"] == 10
    assert json.loads(run(patch))["status"] == 412
    (found,) = json.loads(run(find))["items"]
    assert found["version"] == 2
    assert [one["action"] for one in json.loads(run(audit))["items"]] == ["update", "create"]
    assert "sim-api" in run(table)

    assert [run(nginx).strip(), run(nginx).strip()] == ["changed", "unchanged"]
    text = (home / "monitoring.conf").read_text()
    assert "listen 8080" in text
    assert "server 10.0.0.7:8080;" in text


@pytest.mark.parametrize("model", [Registration, RouteSpec])
def test_every_field_has_a_row(model: Any) -> None:
    for name in model.model_fields:
        assert re.search(rf"^\| .*`{name}`.* \|", PAGE, re.M), name


def test_every_field_of_a_health_check_is_named() -> None:
    for name in HealthCheck.model_fields:
        assert f"`{name}`" in PAGE, name


def test_traefiks_configuration_is_valid_yaml_that_names_our_address() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
    provider = yaml.safe_load(block)["providers"]["http"]
    assert provider["endpoint"].endswith("/gateway/traefik")
