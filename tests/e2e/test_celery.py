"""The chain on Celery: Redis, two workers, PostgreSQL metadata, and userdb on MariaDB.

Two logs, so that collecting is mapped over them; policies enough for two parts of the analysis;
and pools, as deploy/pools.json has them.

What comes of each operation is compared with the same one done in this process, on a database of
its own and with nobody in its way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pymysql
import pytest
import yaml
from monitoring import chain
from monitoring.signals import COLLECTORS
from monitoring.window import Window
from sqlalchemy import func, select

from demo.supervisor import AirflowServer
from include.collectors.request_logs.lock import source_lock
from tests.e2e.celery_facts import firings, history
from tests.e2e.conftest import DAG, Platform, Receiver
from tests.incident import MINUTE, Incident, whole_hours_ago
from tests.servers.mariadb import MariaDbServer, run_mariadb
from tests.servers.redis import run_redis
from userdb.migrate import upgrade
from userdb.models import Evaluation
from userdb.store import Store, open_store
from userdb.times import to_minute

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
REPLAYED = "monitoring_replay"
POOLS = Path(__file__).resolve().parents[2] / "deploy" / "pools.json"

#: Beside the incident's own ``timeouts``, which comes between them in the order of names.
_MORE = {
    "policies": [
        *(
            {
                "name": name,
                "signal": "requests.count",
                "aggregate": "sum",
                "by": ["source"],
                "window": "5m",
                "condition": "> 1",
                "for": "5m",
            }
            for name in ("a-busy", "b-busy", "x-busy", "z-busy")
        ),
        {"name": "c-both", "kind": "composite", "all": ["a-busy", "timeouts"]},
    ]
}


@dataclass(frozen=True)
class Celery:
    """Airflow with its workers, the userdb that they work on, and an undisturbed one."""

    platform: Platform
    database: MariaDbServer
    reference: Store

    @property
    def incident(self) -> Incident:
        return self.platform.incident

    def window(self, first: int, stop: int) -> Window:
        return Window(self.incident.at(first), self.incident.at(stop))

    def do_undisturbed(self, first: int, stop: int) -> None:
        """Collect and analyse a window in this process."""
        now, window = datetime.now(UTC), self.window(first, stop)
        for name in COLLECTORS:
            chain.collect(name, window, self.reference, now=now)
        done = chain.analyze_and_alert(window, self.reference, now=now, send=False)
        assert not done.scores.errors
        assert not done.alerts.errors

    def succeeded(self, run: dict[str, Any], dag_id: str = DAG) -> None:
        """Fail with the reasons where a run has failed."""
        if run["state"] != "success":
            raise AssertionError(self.platform.log_of(run["dag_run_id"], "watcher", dag_id)[-3000:])

    def instances(self, run: dict[str, Any], task_id: str) -> list[dict[str, Any]]:
        """The instances of a mapped task."""
        path = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
        found = self.platform.server.api.get(path, limit=100)["task_instances"]
        return [one for one in found if one["task_id"] == task_id]

    def labels(self, run: dict[str, Any], task_id: str) -> list[str]:
        """What the UI calls the instances of a mapped task."""
        return sorted(one["rendered_map_index"] for one in self.instances(run, task_id))

    def backfill(self, first: int, stop: int, at_once: int) -> None:
        """Backfill the windows of the minutes [first, stop)."""
        self.platform.server.api.post(
            "/backfills",
            {
                "dag_id": DAG,
                "from_date": self.incident.at(first).isoformat(),
                "to_date": self.incident.at(stop - 1).isoformat(),
                "max_active_runs": at_once,
            },
        )

    def backfilled(self, first: int, stop: int) -> list[dict[str, Any]]:
        """The runs of a backfill, once all have ended."""
        low, high = self.incident.at(first), self.incident.at(stop)
        runs: list[dict[str, Any]] = []

        def ended() -> bool:
            found = self.platform.server.api.get(
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

        self.platform.wait(ended, "the runs of the backfill to end", timeout=900)
        self.platform.backfills_ended()
        return runs

    def assert_same_history(self) -> None:
        found, expected = history(self.platform.store), history(self.reference)
        for what, rows in expected.items():
            assert found[what] == rows, what
        assert expected["transitions"]

    def worker_of_port(self, port: int) -> str:
        """The worker of which a process has a connection from this port."""
        server = self.platform.server
        for name in server.workers:
            root = psutil.Process(server.worker_pid(name))
            for process in (root, *root.children(recursive=True)):
                if any(one.laddr and one.laddr.port == port for one in process.net_connections()):
                    return name
        raise AssertionError(f"no worker has a connection from port {port}")


@pytest.fixture(scope="module")
def celery(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Celery]:
    folder = tmp_path_factory.mktemp("celery")
    # so long ago that there is a midnight between: a replay then collects two days
    base = whole_hours_ago(26)
    incident = Incident(folder / "platform", base, STARTS)
    incident.folder.mkdir()
    incident.write((datetime.now(UTC) - base) // MINUTE)
    _add_source(incident)
    (incident.folder / "policies" / "more.yaml").write_text(yaml.safe_dump(_MORE))
    with run_mariadb() as database, run_redis() as redis, pytest.MonkeyPatch.context() as patch:
        url = database.create_database("celery")
        stores = [open_store(one) for one in (url, database.create_database("undisturbed"))]
        for store in stores:
            upgrade(store)
        environment = {
            **incident.environment(url),
            # no runs but those that tests ask for; a DAG without schedule could have no backfill
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "MONITORING_POLICIES_PER_TASK": "3",
            **{
                f"MONITORING_POOL_{kind.upper()}": f"monitoring_{kind}"
                for kind in ("collect", "analysis", "upkeep")
            },
        }
        for name, value in environment.items():
            if name != "USERDB_URL":
                patch.setenv(name, value)
        with AirflowServer(
            folder / "airflow", env=environment, broker=redis.url, worker_tasks=2
        ) as server:
            server.cli("pools", "import", str(POOLS))
            platform = Platform(server, stores[0], incident, receiver)
            platform.wait(
                lambda: (
                    {DAG, REPLAYED} <= {dag["dag_id"] for dag in server.api.get("/dags")["dags"]}
                ),
                "the DAGs to be parsed",
            )
            yield Celery(platform, database, stores[1])
        for store in stores:
            store.close()


def test_a_run_on_two_workers_gives_the_history(celery: Celery) -> None:
    platform, incident = celery.platform, celery.incident
    run = platform.finished(platform.trigger(incident.window(BY_HAND, BY_HAND + 60)))
    celery.succeeded(run)
    assert run["tasks"].pop("watcher") == "skipped"
    assert set(run["tasks"].values()) == {"success"}
    assert celery.labels(run, "collect.request_logs") == ["edge", "gateway"]
    assert celery.labels(run, "analysis.score_policies") == ["policies 1 of 2", "policies 2 of 2"]
    assert firings(platform.store, incident, BY_HAND) == incident.expected(BY_HAND)
    celery.do_undisturbed(BY_HAND, BY_HAND + 60)
    celery.assert_same_history()


def test_a_backfill_on_two_workers_gives_the_history(celery: Celery) -> None:
    celery.backfill(BY_BACKFILL, BY_BACKFILL + 30, at_once=3)
    for run in celery.backfilled(BY_BACKFILL, BY_BACKFILL + 30):
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
        celery.backfill(HUNG, HUNG + 5 * windows, at_once=windows)

        def is_full() -> bool:
            pool = api.get("/pools/monitoring_collect")
            return bool(pool["occupied_slots"] == 2 and _named_lock_waiters(celery.database) == 2)

        platform.wait(is_full, "collectors to hang", timeout=400)
        replay = {**celery.incident.window(BY_HAND, BY_HAND + 60), "collect": False}
        run = platform.finished(platform.trigger(replay, REPLAYED), REPLAYED, timeout=250)
        celery.succeeded(run, REPLAYED)
        assert is_full()
    for run in celery.backfilled(HUNG, HUNG + 5 * windows):
        celery.succeeded(run)
    for first in range(HUNG, HUNG + 5 * windows, 5):
        celery.do_undisturbed(first, first + 5)
    celery.assert_same_history()


def _held_policy(celery: Celery) -> pymysql.connections.Connection[Any]:
    """Hold the lock of ``timeouts``: who scores policies in order gets halfway."""
    connection = celery.platform.store.engine.raw_connection()
    cursor = connection.cursor()
    cursor.execute("SELECT policy FROM policy_state WHERE policy = 'timeouts' FOR UPDATE")
    return connection  # type: ignore[return-value]


def _held_transitions(celery: Celery) -> pymysql.connections.Connection[Any]:
    """Hold the transitions: who folds policies gets as far as the first alert."""
    connection = celery.platform.store.engine.raw_connection()
    connection.cursor().execute("LOCK TABLES alert_transition READ")
    return connection  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("task_id", "start", "hold"),
    [
        ("analysis.score_policies", KILLED_SCORING, _held_policy),
        ("analysis.update_alerts", KILLED_FOLDING, _held_transitions),
    ],
)
def test_a_worker_killed_in_mid_analysis_changes_nothing_in_the_history(
    celery: Celery, task_id: str, start: int, hold: Callable[[Celery], Any]
) -> None:
    platform, incident = celery.platform, celery.incident
    window = celery.window(start, start + 60)
    held = hold(celery)
    waiting: list[int] = []
    try:
        run_id = platform.trigger(incident.window(start, start + 60))

        def is_waiting() -> bool:
            waiting[:] = _waiting_ports(celery.database)
            return bool(waiting)

        platform.wait(is_waiting, f"{task_id} to be halfway")
        started = {"dag_id": DAG, "dag_run_id": run_id}
        assert "running" in {one["state"] for one in celery.instances(started, task_id)}
        evaluated = _evaluated(platform.store, window)
        if task_id == "analysis.score_policies":
            # some policies' scores are committed, and others' are not
            assert 0 < len(evaluated) < 6, evaluated
        killed = celery.worker_of_port(waiting[0])
        platform.server.kill_worker(killed)
    finally:
        held.rollback()
        held.cursor().execute("UNLOCK TABLES")
        held.close()
    run = platform.finished(run_id, timeout=400)
    celery.succeeded(run)
    assert max(one["try_number"] for one in celery.instances(run, task_id)) == 2
    platform.server.start_worker(killed)
    assert firings(platform.store, incident, start) == incident.expected(start)
    celery.do_undisturbed(start, start + 60)
    celery.assert_same_history()


def test_a_mapped_replay_on_two_workers_gives_the_history(celery: Celery) -> None:
    platform, incident = celery.platform, celery.incident
    stop = (datetime.now(UTC) - incident.base) // MINUTE - 5
    run = platform.finished(
        platform.trigger(incident.window(0, stop), REPLAYED), REPLAYED, timeout=400
    )
    celery.succeeded(run, REPLAYED)
    path = f"/dags/{REPLAYED}/dagRuns/{run['dag_run_id']}/taskInstances"
    days = [
        one
        for one in platform.server.api.get(path)["task_instances"]
        if one["task_id"] == "collect"
    ]
    assert len(days) >= 2
    for start in STARTS:
        assert firings(platform.store, incident, start) == incident.expected(start)
    now, window = datetime.now(UTC), celery.window(0, stop)
    for name in COLLECTORS:
        chain.collect(name, window, celery.reference, now=now)
    chain.replay(window, celery.reference, now=now, send=False)
    celery.assert_same_history()


def _add_source(incident: Incident) -> None:
    """A second log, of a gateway on which nothing fails."""
    edge = incident.folder / "edge.log"
    edge.write_text(incident.log.read_text().replace('" 504 ', '" 200 '))
    path = incident.folder / "sources.yaml"
    settings = json.loads(path.read_text())
    settings["request_logs"]["sources"].append(
        {"name": "edge", "paths": [str(edge)], "format": "nginx_combined"}
    )
    path.write_text(json.dumps(settings))


def _named_lock_waiters(database: MariaDbServer) -> int:
    """How many clients wait for a lock of a log source."""
    with database.root() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM information_schema.processlist "
            "WHERE db = 'celery' AND state = 'User lock'"
        )
        (count,) = cursor.fetchone()
        return int(count)


def _waiting_ports(database: MariaDbServer) -> list[int]:
    """Ports of the clients that wait for what the test holds."""
    with database.root() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT host FROM information_schema.processlist WHERE db = 'celery' AND ("
            "state LIKE 'Waiting for table%' OR id IN (SELECT trx_mysql_thread_id "
            "FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'))"
        )
        return [int(host.rpartition(":")[2]) for (host,) in cursor.fetchall()]


def _evaluated(store: Store, window: Window) -> list[str]:
    """Policies that were evaluated over all of the window."""
    with store.read() as connection:
        return list(
            connection.scalars(
                select(Evaluation.policy)
                .where(
                    Evaluation.first_minute >= to_minute(window.start),
                    Evaluation.last_minute <= to_minute(window.end),
                )
                .group_by(Evaluation.policy)
                .having(func.max(Evaluation.last_minute) == to_minute(window.end))
            )
        )
