"""Collections of one source take turns, so the last to write is the last to have read."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from include.collectors.request_logs.lock import source_lock
from tests.collectors.request_logs import gateway_log as log
from tests.servers.mariadb import MariaDbServer
from userdb.errors import CollectionError
from userdb.store import Store, open_store


def _collect(url: str, folder: Path, first: int, stop: int) -> bool:
    store = open_store(url)
    try:
        return log.collect(store, log.settings(folder), first, stop).ok
    finally:
        store.close()


def test_processes_that_collect_the_same_leave_it_once(store: Store, tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(log.lines([-20, *(n / 10 for n in range(200))]))
    url = store.engine.url.render_as_string(hide_password=False)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=spawn) as pool:
        runs = [
            pool.submit(_collect, url, tmp_path, first, stop)
            for first, stop in ((0, 20), (0, 20), (10, 20))
        ]
        assert all(run.result() for run in runs)
    assert log.requests_by_minute(store) == dict.fromkeys(range(20), 10)
    assert len(log.contents(store)["raw"]) == 200


def test_who_waits_in_vain_says_so(store: Store) -> None:
    with (
        source_lock(store, "gateway"),
        source_lock(store, "other"),
        pytest.raises(CollectionError, match=r"'gateway': another collection .* wait until"),
        source_lock(store, "gateway", wait_s=0.1 if store.is_sqlite else 1),
    ):
        pass
    with source_lock(store, "gateway", wait_s=1):
        pass


@pytest.mark.mariadb
def test_a_long_collection_keeps_its_lock_where_idle_connections_are_ended_soon(
    mariadb_store: Store,
) -> None:
    store = open_store(mariadb_store.engine.url.render_as_string(hide_password=False))

    @event.listens_for(store.engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION wait_timeout = 1")

    with source_lock(store, "gateway"):
        time.sleep(2.5)
        with (
            pytest.raises(CollectionError, match="another collection"),
            source_lock(mariadb_store, "gateway", wait_s=0),
        ):
            pass
    with store.engine.connect() as connection, source_lock(mariadb_store, "gateway", wait_s=0):
        # the server's own again
        assert connection.scalar(text("SELECT @@wait_timeout = @@GLOBAL.wait_timeout"))
    store.close()


@pytest.mark.mariadb
def test_a_lock_that_is_lost_hides_neither_what_was_done_nor_what_went_wrong(
    mariadb_store: Store, mariadb_server: MariaDbServer, caplog: pytest.LogCaptureFixture
) -> None:
    def lose(error: Exception | None = None) -> None:
        holders = mariadb_server.query(
            "SELECT id FROM information_schema.processlist "
            f"WHERE db = '{mariadb_store.engine.url.database}' AND command = 'Sleep'"
        )
        assert holders
        for (holder,) in holders:
            mariadb_server.execute(f"KILL {holder}")
        if error is not None:
            raise error

    with source_lock(mariadb_store, "gateway"):
        lose()
    assert "'gateway': the connection that held its lock was lost" in caplog.text
    with pytest.raises(CollectionError, match="the log is gone"), source_lock(mariadb_store, "b"):
        lose(CollectionError("the log is gone"))
