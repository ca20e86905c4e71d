"""What is made, and where its settings are missing; keys that last as long as they are valid; pools
whose slots an operator may change."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from monitoring.deployment.initialise import (
    SETTINGS,
    main,
    read_settings,
    write_gateway_configuration,
    write_prometheus_key,
)
from monitoring.keys import list_keys, recognise, revoke_key

from tests.dags.conftest import airflow_environment
from userdb.errors import ConfigError
from userdb.store import Store, open_store

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


_ALL = {name: f"/{name}" for names in SETTINGS.values() for name in names}


@pytest.mark.parametrize("setting", sorted(_ALL))
def test_a_setting_that_is_missing_is_an_error_that_names_it(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "userdb.sqlite"
    monkeypatch.setenv("USERDB_URL", f"sqlite:///{file}")
    for name, value in _ALL.items():
        # Compose sets what its own settings lack to nothing
        monkeypatch.setenv(name, "" if name == setting else value)
    with pytest.raises(SystemExit, match=f"not set, .*: {setting}$"):
        main([])
    assert not file.exists(), "nothing was done"


def test_all_that_is_missing_is_named_at_once() -> None:
    assert read_settings({**_ALL, "HOME": "/"}, skip_unset=False) == _ALL
    with pytest.raises(ConfigError, match=", ".join(_ALL)):
        read_settings({}, skip_unset=False)


def test_what_is_not_set_is_left_out_and_said_where_that_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"MONITORING_POOLS": "/pools", "MONITORING_PROMETHEUS_KEY": ""}
    assert read_settings(given, skip_unset=True) == {"MONITORING_POOLS": "/pools"}
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(SETTINGS) - 1
    for made, names in SETTINGS.items():
        line = f"init: left out {made}: {' and '.join(names)} not set"
        assert (line in said) == (made != "pools"), made
    # half of what is needed is a mistake, and not a part that isn't wanted
    with pytest.raises(ConfigError, match=r": MONITORING_GATEWAY_CONFIG$"):
        read_settings({"MONITORING_GATEWAY_TEMPLATE": "/template"}, skip_unset=True)


@pytest.mark.airflow
@pytest.mark.nightly  # Airflow's tables are made, and its application is built, three times
def test_in_a_cluster_it_makes_roles_pools_and_the_user_whose_password_is_set(
    tmp_path: Path,
) -> None:
    fab = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    environment = {
        **airflow_environment(tmp_path),
        "AIRFLOW__CORE__AUTH_MANAGER": fab,
        "USERDB_URL": f"sqlite:///{tmp_path / 'userdb.sqlite'}",
        "MONITORING_POOLS": str(DEPLOY / "pools.json"),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }

    def initialise(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "monitoring.deployment.initialise", "--skip-unset"]
        return subprocess.run(
            command,
            env={**environment, **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    def security() -> dict[str, object]:
        code = """
import json
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.providers_configuration_loader import providers_configuration_loaded
@providers_configuration_loaded
def found():
    with get_application_builder() as builder:
        roles = {role.name: role for role in builder.sm.get_all_roles()}
        reads = [n for n, role in sorted(roles.items()) if ("can_read", "Plugins") in
                 {(p.action.name, p.resource.name) for p in role.permissions}]
        users = {u.username: [r.name for r in u.roles] for u in builder.sm.get_all_users()}
        right = builder.sm.check_password("admin", "the-second-password")
        return {"reads": reads, "users": users, "right": right}
print("FOUND", json.dumps(found()))
"""
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        (line,) = [one for one in done.stdout.splitlines() if one.startswith("FOUND ")]
        answer: dict[str, object] = json.loads(line.removeprefix("FOUND "))
        return answer

    first = initialise()
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.count("made the pool") == 3
    assert "left out Airflow's user admin: MONITORING_ADMIN_PASSWORD not set" in first.stdout
    readers = ["Admin", "Op", "User", "Viewer"]
    assert security() == {"reads": readers, "users": {}, "right": False}
    for password in ("the-first-password", "the-second-password"):
        again = initialise(MONITORING_ADMIN_PASSWORD=password)
        assert again.returncode == 0, again.stdout + again.stderr
        assert password not in again.stdout + again.stderr
    assert security() == {"reads": readers, "users": {"admin": ["Admin"]}, "right": True}
    store = open_store(environment["USERDB_URL"])
    with store.read() as connection:
        assert list_keys(connection) == []
    store.close()


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
