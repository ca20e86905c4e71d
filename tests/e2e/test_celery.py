"""The chain on Celery with Redis: runs, backfills, replays, hung collectors and killed workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from monitoring import chain
from monitoring.signals import COLLECTORS

from include.collectors.request_logs.lock import source_lock
from tests.e2e.celery_facts import firings
from tests.e2e.celery_platform import (
    REPLAYED,
    Celery,
    Hold,
    held_policy,
    held_transitions,
    run_celery,
)
from tests.e2e.conftest import DAG, Receiver
from tests.incident import MINUTE
from tests.servers.mariadb import MariaDbServer
from tests.servers.redis import run_redis

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.e2e,
    pytest.mark.mariadb,
    pytest.mark.redis,
    pytest.mark.nightly,
    pytest.mark.timeout(900),
]

#: Starts of incidents, in minutes after the log's first one; one a test.
BY_HAND, BY_BACKFILL, KILLED_SCORING, KILLED_FOLDING, HUNG = STARTS = (0, 120, 240, 360, 480)


@pytest.fixture(scope="module")
def celery(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Celery]:
    folder = tmp_path_factory.mktemp("celery")
    with run_redis() as redis, run_celery(folder, receiver, redis.url, STARTS) as running:
        yield running


def test_a_run_on_two_workers_gives_the_history(celery: Celery) -> None:
    celery.run_on_both_workers(BY_HAND)


def test_a_backfill_on_two_workers_gives_the_history(celery: Celery) -> None:
    _backfill(celery, BY_BACKFILL, BY_BACKFILL + 30, at_once=3)
    for run in _backfilled(celery, BY_BACKFILL, BY_BACKFILL + 30):
        celery.succeeded(run)
    found = firings(celery.platform.store, celery.incident, BY_BACKFILL)
    assert found == celery.incident.expected(BY_BACKFILL)
    for first in range(BY_BACKFILL, BY_BACKFILL + 30, 5):
        celery.do_undisturbed(first, first + 5)
    celery.assert_same_history()


def test_collectors_that_hang_fill_their_pool_and_not_the_workers(celery: Celery) -> None:
    platform, api = celery.platform, celery.platform.server.api
    pool = api.get("/pools/monitoring_collect")
    wanted = {key: pool[key] for key in ("description", "include_deferred")}
    api.patch("/pools/monitoring_collect", {**wanted, "pool": pool["name"], "slots": 2})
    windows = 4
    with source_lock(platform.store, "gateway"):
        # as many collectors as the workers have processes wait for the log's lock
        _backfill(celery, HUNG, HUNG + 5 * windows, at_once=windows)

        def is_full() -> bool:
            pool = api.get("/pools/monitoring_collect")
            return bool(pool["occupied_slots"] == 2 and _named_lock_waiters(celery.database) == 2)

        platform.wait(is_full, "collectors to hang", timeout=400)
        replay = {**celery.incident.window(BY_HAND, BY_HAND + 60), "collect": False}
        run = platform.finished(platform.trigger(replay, REPLAYED), REPLAYED, timeout=250)
        celery.succeeded(run, REPLAYED)
        assert is_full()
    for run in _backfilled(celery, HUNG, HUNG + 5 * windows):
        celery.succeeded(run)
    for first in range(HUNG, HUNG + 5 * windows, 5):
        celery.do_undisturbed(first, first + 5)
    celery.assert_same_history()


@pytest.mark.parametrize(
    ("task_id", "start", "hold"),
    [
        ("analysis.score_policies", KILLED_SCORING, held_policy),
        ("analysis.update_alerts", KILLED_FOLDING, held_transitions),
    ],
)
def test_a_worker_killed_in_mid_analysis_changes_nothing_in_the_history(
    celery: Celery, task_id: str, start: int, hold: Hold
) -> None:
    celery.kill_worker_in(task_id, start, hold)


def test_a_mapped_replay_on_two_workers_gives_the_history(celery: Celery) -> None:
    platform, incident = celery.platform, celery.incident
    stop = (datetime.now(UTC) - incident.base) // MINUTE - 5
    run = platform.finished(
        platform.trigger(incident.window(0, stop), REPLAYED), REPLAYED, timeout=400
    )
    celery.succeeded(run, REPLAYED)
    assert len(celery.instances(run, "collect")) >= 2, "a task for each day"
    for start in STARTS:
        assert firings(platform.store, incident, start) == incident.expected(start)
    now, window = datetime.now(UTC), celery.window(0, stop)
    for name in COLLECTORS:
        chain.collect(name, window, celery.reference, now=now)
    chain.replay(window, celery.reference, now=now, send=False)
    celery.assert_same_history()


def _backfill(celery: Celery, first: int, stop: int, at_once: int) -> None:
    """Backfill the windows of the minutes [first, stop)."""
    celery.platform.server.api.post(
        "/backfills",
        {
            "dag_id": DAG,
            "from_date": celery.incident.at(first).isoformat(),
            "to_date": celery.incident.at(stop - 1).isoformat(),
            "max_active_runs": at_once,
        },
    )


def _backfilled(celery: Celery, first: int, stop: int) -> list[dict[str, Any]]:
    """The runs of a backfill, once all have ended."""
    low, high = celery.incident.at(first), celery.incident.at(stop)
    runs: list[dict[str, Any]] = []

    def ended() -> bool:
        found = celery.platform.server.api.get(
            f"/dags/{DAG}/dagRuns", run_type="backfill", limit=100
        )
        runs[:] = [
            run
            for run in found["dag_runs"]
            if low <= datetime.fromisoformat(run["logical_date"]) < high
        ]
        return len(runs) == (stop - first) // 5 and all(
            run["state"] in ("success", "failed") for run in runs
        )

    celery.platform.wait(ended, "the runs of the backfill to end", timeout=900)
    celery.platform.backfills_ended()
    return runs


def _named_lock_waiters(database: MariaDbServer) -> int:
    """How many clients wait for a lock of a log source."""
    with database.root() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM information_schema.processlist "
            "WHERE db = 'celery' AND state = 'User lock'"
        )
        (count,) = cursor.fetchone()
        return int(count)
