"""A server that is ended in mid-load: what it has acknowledged is stored, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ingest import killed, prepare
from tests.servers.mariadb import MariaDbServer


@pytest.mark.parametrize("database", ["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def test_every_acknowledged_event_is_stored_once(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if database == "sqlite":
        url = f"sqlite:///{tmp_path / 'killed.sqlite'}"
    else:
        server: MariaDbServer = request.getfixturevalue("mariadb_server")
        url = server.create_database("killed")
    assert "all are stored once" in killed(url, prepare(url), clients=4)
