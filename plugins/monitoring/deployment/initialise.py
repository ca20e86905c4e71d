"""``python -m monitoring.deployment.initialise [--skip-unset]``: make a deployment ready, and end.

Run before everything else, at each start; what is as it should be is left alone. It

1. migrates userdb, and then Airflow's metadata. Both take a lock, so that two never migrate at
   once, and both refuse a schema that is newer than the code;
2. gives Airflow its roles, its users, the connection ``userdb``, and the pools that are missing;
3. writes the gateway's configuration, with an API key of its own, and Prometheus' key.

What a setting is missing for is an error, before anything is done. With ``--skip-unset`` it is
left out and said: a cluster has no gateway of ours to configure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any

import yaml

from monitoring.keys import create_key, recognise
from userdb.errors import AccessError, ConfigError, MonitoringError
from userdb.migrate import upgrade
from userdb.store import Store, open_store
from userdb.url import CONNECTION_ORIGIN, connection_fields

#: What the HTTP API asks for reads (`monitoring.api.auth`), and only Airflow's Admin has.
_READS = ("can_read", "Plugins")
_READERS = ("Viewer", "User", "Op")


@dataclass(frozen=True)
class Account:
    """A user of Airflow's whose password is a secret of the deployment."""

    name: str
    role: str
    password_setting: str


ACCOUNTS = (
    Account("admin", "Admin", "MONITORING_ADMIN_PASSWORD"),
    # starts the chain for urgent events
    Account("ingest", "User", "MONITORING_AIRFLOW_PASSWORD"),
)

#: What is made, and the settings that it takes, all of them or none.
SETTINGS: Mapping[str, tuple[str, ...]] = {
    **{f"Airflow's user {one.name}": (one.password_setting,) for one in ACCOUNTS},
    "pools": ("MONITORING_POOLS",),
    "the gateway's configuration": ("MONITORING_GATEWAY_TEMPLATE", "MONITORING_GATEWAY_CONFIG"),
    "Prometheus' key": ("MONITORING_PROMETHEUS_KEY",),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Do all of it. Ends with exit code 1 and a message where it can't be done."""
    parser = argparse.ArgumentParser(prog="initialise")
    parser.add_argument("--skip-unset", action="store_true", help="leave out what isn't set")
    try:
        settings = read_settings(os.environ, skip_unset=parser.parse_args(arguments).skip_unset)
        store = open_store()
        try:
            say(f"userdb is at schema {upgrade(store)}")
            subprocess.run(["airflow", "db", "migrate"], check=True)
            set_up_airflow(store, settings)
            now = datetime.now(UTC)
            if pools := settings.get("MONITORING_POOLS"):
                make_pools(Path(pools))
            if template := settings.get("MONITORING_GATEWAY_TEMPLATE"):
                target = Path(settings["MONITORING_GATEWAY_CONFIG"])
                write_gateway_configuration(store, template=Path(template), target=target, now=now)
            if key := settings.get("MONITORING_PROMETHEUS_KEY"):
                write_prometheus_key(store, Path(key), now=now)
        finally:
            store.close()
    except MonitoringError as error:
        sys.exit(f"init: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"init: `airflow db migrate` ended with exit code {error.returncode}")


def say(text: str) -> None:
    sys.stdout.write(f"init: {text}\n")
    sys.stdout.flush()


def read_settings(environ: Mapping[str, str], *, skip_unset: bool) -> dict[str, str]:
    """The settings that are set; says what is left out for want of one.

    Raises:
        ConfigError: one is missing, and not to be skipped; or what it is for has only some of its
            settings. Names all that are missing.
    """
    missing: list[str] = []
    for made, names in SETTINGS.items():
        unset = [name for name in names if not environ.get(name)]
        if skip_unset and len(unset) == len(names):
            say(f"left out {made}: {' and '.join(names)} not set")
        else:
            missing += unset
    if missing:
        raise ConfigError(f"not set, and nothing was done: {', '.join(missing)}")
    return {
        name: environ[name] for names in SETTINGS.values() for name in names if environ.get(name)
    }


def set_up_airflow(store: Store, settings: Mapping[str, str]) -> None:
    """Airflow's roles, connection, and the users whose passwords ``settings`` has.

    Passwords are set to what the settings say.
    """
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

    @providers_configuration_loaded  # type: ignore[untyped-decorator]
    def accounts() -> None:
        with get_application_builder() as builder:
            manager = builder.sm
            manager.sync_roles()
            manager.bulk_sync_roles([{"role": role, "perms": [_READS]} for role in _READERS])
            for account in ACCOUNTS:
                if password := settings.get(account.password_setting):
                    _ensure(manager, account, password)

    accounts()
    _write_connection(store)


def _ensure(manager: Any, account: Account, password: str) -> None:
    user = manager.find_user(username=account.name)
    if user is None:
        role = manager.find_role(account.role)
        mail = f"{account.name}@localhost"
        if not manager.add_user(account.name, account.name, "-", mail, role, password):
            raise MonitoringError(f"Airflow's user {account.name} could not be made; see above")
        say(f"made Airflow's user {account.name} ({account.role})")
    elif not manager.check_password(account.name, password):
        manager.reset_password(user.id, password)
        say(f"set the password of Airflow's user {account.name}")


def _write_connection(store: Store) -> None:
    """Airflow's connection ``userdb``, for hooks of DAGs of one's own; where it isn't what userdb
    is known by."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    if store.url.origin == CONNECTION_ORIGIN:
        return
    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == "userdb"))
        session.add(Connection(conn_id="userdb", **connection_fields(store.url.url)))


def make_pools(file: Path) -> None:
    """Make the pools of ``file``, which is what `airflow pools import` takes, where they are
    missing. Unlike that command it leaves those alone that are there: their slots may be an
    operator's."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        there = set(session.scalars(select(Pool.pool)))
        for name, pool in json.loads(file.read_text(encoding="utf-8")).items():
            if name not in there:
                session.add(Pool(pool=name, **pool))
                say(f"made the pool {name} of {pool['slots']} slots")


def write_gateway_configuration(
    store: Store, *, template: Path, target: Path, now: datetime
) -> None:
    """Write ``template`` to ``target`` with the gateway's API key in the place of ``${KEY}``.

    The key that the file has is kept as long as it is valid. A change takes the gateway's restart.
    """
    key = _valid_key(store, _key_in(target), "gateway", now)
    text = Template(template.read_text(encoding="utf-8")).substitute(KEY=key)
    if _write(target, text, mode=0o600):
        say(f"wrote {target.name} for the gateway")


def write_prometheus_key(store: Store, target: Path, *, now: datetime) -> None:
    """Write an API key that may read to ``target``, for whoever is in its group.

    The key that the file has is kept as long as it is valid. Prometheus reads it at each scrape.
    """
    found = target.read_text(encoding="utf-8") if target.exists() else None
    _write(target, _valid_key(store, found, "prometheus", now), mode=0o640)


def _valid_key(store: Store, found: str | None, owner: str, now: datetime) -> str:
    """The key that was found, where it is valid; else a new one that may read."""
    if found is not None and _is_valid(store, found, now):
        return found
    # names of keys are never used again
    made, key = create_key(store, f"{owner}-{now:%Y%m%dT%H%M%S}", ["read"], by="init", now=now)
    say(f"made the API key {made.name}")
    return key


def _write(target: Path, text: str, *, mode: int) -> bool:
    """Whether the file had to be changed; it is replaced as a whole."""
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return False
    new = target.with_name(f"{target.name}.new")
    new.touch(mode=0o600)
    new.chmod(mode)
    new.write_text(text, encoding="utf-8")
    new.replace(target)
    return True


def _key_in(file: Path) -> str | None:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        bearer = str(found["providers"]["http"]["headers"]["Authorization"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return None
    return bearer.removeprefix("Bearer ")


def _is_valid(store: Store, key: str, now: datetime) -> bool:
    try:
        with store.read() as connection:
            recognise(connection, key, now=now)
    except AccessError:
        return False
    return True


if __name__ == "__main__":
    main()
