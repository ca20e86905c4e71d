"""Fixtures of all tests: userdb on SQLite and on a MariaDB that the tests start themselves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import text

from tests import requirements, sharing
from tests.servers.mariadb import MariaDbServer, run_mariadb
from tests.servers.rabbitmq import RabbitServer, run_rabbitmq
from tests.userdb.mysql84 import refuse_ambiguous_names
from userdb.migrate import VERSION_TABLE, upgrade
from userdb.models import Base
from userdb.store import Store, open_store

# how long an example takes says more of what else the machine does than of the code
hypothesis.settings.register_profile("by_day", deadline=None, max_examples=50)
hypothesis.settings.register_profile("by_night", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("TESTS_PROFILE", "by_day"))

#: Whatever would lead a test to the user's databases.
_USERS_OWN = ("USERDB_URL", "AIRFLOW_CONN_USERDB", "MONITORING_URL", "MONITORING_API_KEY")


@pytest.fixture(scope="session", autouse=True)
def _no_users_database() -> Iterator[None]:
    """Session fixtures must not see the user's databases either."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _USERS_OWN:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _no_users_database: None) -> None:
    """The embedded userdb of a test lies in the test's own folder."""
    for name in _USERS_OWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MONITORING_HOME", str(tmp_path))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    store = open_store(f"sqlite:///{path}")
    upgrade(store)
    store.close()  # the last connection's end folds the write-ahead log into the file
    return path


@pytest.fixture
def sqlite_store(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    """userdb on SQLite, migrated and empty."""
    path = tmp_path / "userdb.sqlite"
    shutil.copyfile(sqlite_template, path)
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDbServer]:
    """One MariaDB server for all tests. Needs the marker ``mariadb`` on the test."""
    with run_mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def rabbit() -> Iterator[RabbitServer]:
    """One RabbitMQ for all tests. Needs the marker ``rabbitmq`` on the test."""
    with run_rabbitmq() as server:
        yield server


@pytest.fixture(scope="session")
def _mariadb_schema(mariadb_server: MariaDbServer) -> str:
    """The URL of a migrated database."""
    return mariadb_server.create_userdb("userdb_test")


@pytest.fixture
def mariadb_store(_mariadb_schema: str) -> Iterator[Store]:
    """userdb on MariaDB, migrated and empty. Needs the marker ``mariadb`` on the test."""
    store = open_store(_mariadb_schema)
    _empty(store)
    refuse_ambiguous_names(store.engine)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def store(request: pytest.FixtureRequest) -> Store:
    """userdb, migrated and empty, on each dialect."""
    opened: Store = request.getfixturevalue(f"{request.param}_store")
    return opened


def _empty(store: Store) -> None:
    """Empty every table that a test before this one used, counters of ids included."""
    names = sorted(set(Base.metadata.tables) - {VERSION_TABLE})
    probe = " UNION ALL ".join(
        f"SELECT '{name}' FROM DUAL WHERE EXISTS (SELECT 1 FROM `{name}`)" for name in names
    )
    counted = (
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND auto_increment > 1"
    )
    with store.engine.connect() as connection:
        used = {row[0] for row in connection.execute(text(f"{probe} UNION ALL {counted}"))}
        for name in sorted(used & set(names)):
            connection.execute(text(f"TRUNCATE TABLE `{name}`"))


# --- which tests can't run here is decided in tests/requirements.py, and nowhere else ----------


@pytest.hookimpl(trylast=True)  # after -m and -k: what was not asked for is not missing
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Hand the collected tests to ``tests.requirements``."""
    requirements.select(config, items)
    sharing.longest_first(items)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> sharing.Sharing | None:
    """Where processes share the tests by file, share them as ``tests.sharing`` says."""
    return sharing.Sharing(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node: object) -> None:
    """Where processes share the tests, the one that reports has collected none."""
    requirements.report_of_worker(node)
