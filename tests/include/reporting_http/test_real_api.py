"""The client against ``monitoring serve``, which is killed and brought back meanwhile."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from monitoring.keys import create_key, revoke_key
from sqlalchemy import select

from include.reporting import HttpSettings, HttpTransport
from tests.include.conftest import event, numbered, spooled
from userdb.models import MonitorEvent
from userdb.store import Store

SERVE = [sys.executable, "-c", "from monitoring.cli import main; main()", "serve", "--port"]


class Api:
    """``monitoring serve`` on a port that it keeps."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with closing(socket.create_server(("127.0.0.1", 0))) as probe:
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        url = self._store.url.url.render_as_string(hide_password=False)
        self._process = subprocess.Popen(
            [*SERVE, str(self.port)],
            env={**os.environ, "USERDB_URL": url},
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stored(self) -> list[str]:
        with self._store.read() as connection:
            query = select(MonitorEvent.event_id).order_by(MonitorEvent.id)
            return list(connection.scalars(query))


@pytest.fixture
def real(sqlite_store: Store) -> Iterator[Api]:
    api = Api(sqlite_store)
    api.start()
    yield api
    api.kill()


def test_every_event_is_stored_once_though_the_server_is_killed(
    real: Api, sqlite_store: Store, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    _, key = create_key(sqlite_store, "sim", ["events:write"], by="test", now=now)
    transport = HttpTransport(
        HttpSettings(f"http://127.0.0.1:{real.port}", key, spool=tmp_path / "s", batch_events=20)
    )
    transport.send([event("0", detail={"名": "🚨"}, service="sim", exception=ValueError("x"))])
    assert transport.flush(20)
    for number in range(1, 400):
        transport.send([event(str(number))])
    while len(real.stored()) < 100:
        time.sleep(0.001)
    real.kill()  # in the middle of it
    assert len(real.stored()) < 400
    for number in range(400, 600):
        transport.send([event(str(number))])
    real.start()
    assert transport.flush(30) or transport.flush(30)
    # what one request brings is stored in the order of the ids
    assert sorted(real.stored(), key=int) == numbered(0, 600)
    with sqlite_store.read() as connection:
        columns = MonitorEvent.__table__.columns
        row = connection.execute(select(*columns).where(columns.event_id == "0")).one()
    assert (row.service, row.detail["名"], row.exception_type) == ("sim", "🚨", "ValueError")

    transport.send([event("too old", occurred_at=datetime(2020, 1, 1, tzinfo=UTC)), event("600")])
    assert transport.flush(20)
    assert "600" in real.stored()
    assert transport.counts.rejected == 1

    revoke_key(sqlite_store, "sim", by="test", now=datetime.now(UTC))
    time.sleep(1.5)  # the server asks for a key once a second
    transport.send([event("601")])
    assert not transport.flush(20)
    assert spooled(tmp_path / "s") == ["601"]
    transport.stop()
