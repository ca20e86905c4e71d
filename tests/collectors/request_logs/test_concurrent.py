"""Collections of one source take turns, so the last to write is the last to have read."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from include.collectors.request_logs.lock import source_lock
from tests.collectors.request_logs import gateway_log as log
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
