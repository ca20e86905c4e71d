"""Keys that last as long as they are valid, and pools whose slots an operator may change."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from monitoring.deployment.initialise import write_gateway_configuration, write_prometheus_key
from monitoring.keys import list_keys, recognise, revoke_key

from tests.dags.conftest import airflow_environment
from userdb.store import Store

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
TEMPLATE = DEPLOY / "traefik.yml"
NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_the_gateways_key_is_made_kept_and_replaced_once_it_is_revoked(
    sqlite_store: Store, tmp_path: Path
) -> None:
    target = tmp_path / "traefik.yml"

    def write(now: datetime) -> str:
        write_gateway_configuration(sqlite_store, template=TEMPLATE, target=target, now=now)
        settings = yaml.safe_load(target.read_text())
        bearer: str = settings["providers"]["http"]["headers"]["Authorization"]
        with sqlite_store.read() as connection:
            key = recognise(connection, bearer.removeprefix("Bearer "), now=now)
        assert key.scopes == ("read",)
        return key.name

    first = write(NOW)
    assert target.stat().st_mode & 0o777 == 0o600
    written = target.stat().st_mtime_ns
    assert write(NOW + timedelta(days=400)) == first
    assert target.stat().st_mtime_ns == written
    revoke_key(sqlite_store, first, by="test", now=NOW + timedelta(days=401))
    assert write(NOW + timedelta(days=402)) != first
    target.write_text("providers: []")
    write(NOW + timedelta(days=403))
    with sqlite_store.read() as connection:
        assert len(list_keys(connection)) == 3


def test_prometheus_key_is_made_kept_and_replaced_once_it_is_revoked(
    sqlite_store: Store, tmp_path: Path
) -> None:
    target = tmp_path / "key"

    def write(now: datetime) -> str:
        write_prometheus_key(sqlite_store, target, now=now)
        with sqlite_store.read() as connection:
            key = recognise(connection, target.read_text(), now=now)
        assert key.scopes == ("read",)
        return key.name

    first = write(NOW)
    # read by the image's group, which Prometheus' container is given
    assert target.stat().st_mode & 0o777 == 0o640
    written = target.stat().st_mtime_ns
    assert write(NOW + timedelta(days=400)) == first
    assert target.stat().st_mtime_ns == written
    revoke_key(sqlite_store, first, by="test", now=NOW + timedelta(days=401))
    assert write(NOW + timedelta(days=402)) != first
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.airflow
@pytest.mark.nightly  # a command of Airflow's takes ten seconds, and it runs seven
def test_pools_are_made_where_they_are_missing_and_else_left_alone(tmp_path: Path) -> None:
    environment = airflow_environment(tmp_path)

    def run(*command: str) -> str:
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def make_pools() -> str:
        code = "import sys, pathlib, monitoring.deployment.initialise as i;"
        code += "i.make_pools(pathlib.Path(sys.argv[1]))"
        return run(sys.executable, "-c", code, str(DEPLOY / "pools.json"))

    def pools() -> dict[str, dict[str, object]]:
        run(airflow, "pools", "export", str(tmp_path / "pools.json"))
        found: dict[str, dict[str, object]] = json.loads((tmp_path / "pools.json").read_text())
        return {name: pool for name, pool in found.items() if name != "default_pool"}

    airflow = str(Path(sys.executable).with_name("airflow"))
    run(airflow, "db", "migrate")
    assert make_pools().count("made the pool") == 3
    wanted = json.loads((DEPLOY / "pools.json").read_text())
    assert pools() == wanted
    run(airflow, "pools", "set", "monitoring_collect", "7", "an operator's")
    run(airflow, "pools", "delete", "monitoring_upkeep")
    assert make_pools().count("made the pool") == 1
    left = pools()
    assert left.pop("monitoring_collect")["slots"] == 7
    assert left == {name: wanted[name] for name in left}
    assert len(left) == 2
