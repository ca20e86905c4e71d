"""The demo's platform, on the built-in gateway and on nginx."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from demo.platform import Platform
from userdb.migrate import upgrade
from userdb.store import Store, open_store


@pytest.fixture
def environment(sqlite_store: Store, tmp_path: Path) -> dict[str, str]:
    """What the services are given: a userdb and a spool of the test's own."""
    return environment_in(tmp_path)


def environment_in(folder: Path) -> dict[str, str]:
    """An environment whose userdb and spool lie in ``folder``."""
    return os.environ | {
        "USERDB_URL": f"sqlite:///{folder}/userdb.sqlite",
        "MONITORING_SPOOL": str(folder / "spool"),
    }


GATEWAYS = ["built-in", pytest.param("nginx", marks=pytest.mark.nginx)]


def start(folder: Path, environment: Mapping[str, str], gateway: str) -> Platform:
    """A platform with that kind of gateway."""
    return Platform(folder, env=environment, preferred_port=0, use_nginx=gateway == "nginx")


@pytest.fixture(params=GATEWAYS)
def own_platform(
    request: pytest.FixtureRequest, tmp_path: Path, environment: dict[str, str]
) -> Iterator[Platform]:
    """Services behind each kind of gateway, for a test that breaks them."""
    with start(tmp_path, environment, request.param) as running:
        yield running


@pytest.fixture(params=GATEWAYS, scope="package")
def _shared_platform(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    store = open_store(f"sqlite:///{folder}/userdb.sqlite")
    upgrade(store)
    store.close()
    with start(folder, environment_in(folder), request.param) as running:
        yield running


@pytest.fixture
def platform(_shared_platform: Platform) -> Platform:
    """Services behind each kind of gateway, with nothing wrong and an empty log."""
    _shared_platform.set_faults([])
    os.truncate(_shared_platform.log, 0)
    return _shared_platform
