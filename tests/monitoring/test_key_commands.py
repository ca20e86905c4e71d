"""``monitoring key`` and ``monitoring serve``, as programs that people type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from monitoring.cli import app
from typer.testing import CliRunner

from tests.servers.monitoring_serve import run_serve
from userdb.migrate import upgrade
from userdb.store import open_store

COMMAND = [sys.executable, "-c", "from monitoring.cli import main; main()"]

Monitoring = Callable[..., str]


@pytest.fixture
def monitoring() -> Monitoring:
    store = open_store()
    upgrade(store)
    store.close()

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    return run


@pytest.fixture
def served(monitoring: Monitoring, tmp_path: Path) -> Iterator[str]:
    """The address of `monitoring serve` on a free port, with the test's userdb."""
    with run_serve(COMMAND, {**os.environ, "MONITORING_HOME": str(tmp_path)}, tmp_path) as url:
        yield url


def test_a_key_made_by_command_opens_the_server_until_it_is_revoked(
    monitoring: Monitoring, served: str, tmp_path: Path
) -> None:
    text = monitoring("key", "create", "grafana", "--scope", "read", "--for", "90d").strip()
    with requests.Session() as session:
        session.trust_env = False

        def status(path: str, key: str | None = None) -> int:
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            return session.get(served + path, headers=headers, timeout=30).status_code

        assert status("/health") == status("/ready") == 200
        assert status("/api/v1/alerts") == 401
        assert status("/api/v1/alerts", text) == status("/openapi.json", text) == 200
        assert status(f"/api/v1/alerts?sentry_key={text}") == 200
        assert text not in (tmp_path / "serve.log").read_text()
        monitoring("key", "revoke", "grafana")
        time.sleep(1.1)  # a key that was recognised is good for a second
        assert status("/api/v1/alerts", text) == 401


def test_keys_are_listed_without_their_secrets(monitoring: Monitoring) -> None:
    made = json.loads(
        monitoring(
            *("key", "create", "node-1", "--scope", "events:write", "--scope", "read"),
            *("--rate-limit", "5/second", "--format", "json"),
        )
    )
    (listed,) = json.loads(monitoring("key", "list", "--format", "json"))
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert (listed["scopes"], listed["state"]) == (["events:write", "read"], "active")
    table = monitoring("key", "list")
    assert "node-1" in table
    assert "5/second" in table
    assert made["key"].rsplit("_", 1)[1] not in table


def test_a_server_does_not_start_on_a_userdb_without_schema(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "serve", "--port", "0"],
        env={**os.environ, "MONITORING_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "monitoring db upgrade" in done.stderr
