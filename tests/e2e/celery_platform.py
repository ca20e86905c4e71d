"""The chain on Celery: a broker, two workers, PostgreSQL metadata, and userdb on MariaDB.

Two logs, so that collecting is mapped over them; policies enough for two parts of the analysis;
and pools, as deploy/pools.json has them.

What comes of each operation is compared with the same one done in this process, on a database of
its own and with nobody in its way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from monitoring import chain
from monitoring.signals import COLLECTORS
from monitoring.window import Window
from sqlalchemy import func, select

from demo.supervisor import AirflowServer
from tests.e2e.celery_facts import firings, history
from tests.e2e.conftest import DAG, Platform, Receiver
from tests.incident import MINUTE, Incident, whole_hours_ago
from tests.servers.mariadb import MariaDbServer, run_mariadb
from userdb.migrate import upgrade
from userdb.models import Evaluation
from userdb.store import Store, open_store
from userdb.times import to_minute

REPLAYED = "monitoring_replay"
#: Policies of the incident and of ``_MORE``.
POLICIES = 6
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


#: Holds a lock that a task will wait for; returns the connection that holds it.
Hold = Callable[["Celery"], Any]


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

    def run_on_both_workers(self, start: int) -> None:
        """A run over an incident: its mapped tasks, its alert, and the history."""
        run = self.platform.finished(self.platform.trigger(self.incident.window(start, start + 60)))
        self.succeeded(run)
        assert run["tasks"].pop("watcher") == "skipped"
        assert set(run["tasks"].values()) == {"success"}
        assert self.labels(run, "collect.request_logs") == ["edge", "gateway"]
        parts = ["policies 1 of 2", "policies 2 of 2"]
        assert self.labels(run, "analysis.score_policies") == parts
        self.assert_as_undisturbed(start)

    def kill_worker_in(self, task_id: str, start: int, hold: Hold) -> None:
        """A run over an incident, of which the worker is killed that ``hold`` keeps halfway in a
        task; another one makes up for it, and the history is none the wiser."""
        platform = self.platform
        held = hold(self)
        waiting: list[int] = []
        try:
            run_id = platform.trigger(self.incident.window(start, start + 60))

            def is_waiting() -> bool:
                waiting[:] = _waiting_ports(self.database)
                return bool(waiting)

            platform.wait(is_waiting, f"{task_id} to be halfway")
            started = {"dag_id": DAG, "dag_run_id": run_id}
            assert "running" in {one["state"] for one in self.instances(started, task_id)}
            if task_id == "analysis.score_policies":
                # some policies' scores are committed, and others' are not
                evaluated = _evaluated(platform.store, self.window(start, start + 60))
                assert 0 < len(evaluated) < POLICIES, evaluated
            killed = self._worker_of_port(waiting[0])
            platform.server.kill_worker(killed)
        finally:
            held.rollback()
            held.cursor().execute("UNLOCK TABLES")
            held.close()
        run = platform.finished(run_id, timeout=400)
        self.succeeded(run)
        assert max(one["try_number"] for one in self.instances(run, task_id)) == 2
        platform.server.start_worker(killed)
        self.assert_as_undisturbed(start)

    def assert_as_undisturbed(self, start: int) -> None:
        """Compare what a run over an incident left with what it should have."""
        assert firings(self.platform.store, self.incident, start) == self.incident.expected(start)
        self.do_undisturbed(start, start + 60)
        self.assert_same_history()

    def assert_same_history(self) -> None:
        found, expected = history(self.platform.store), history(self.reference)
        for what, rows in expected.items():
            assert found[what] == rows, what
        assert expected["transitions"]

    def _worker_of_port(self, port: int) -> str:
        """The worker of which a process has a connection from this port."""
        server = self.platform.server
        for name in server.workers:
            root = psutil.Process(server.worker_pid(name))
            for process in (root, *root.children(recursive=True)):
                if any(one.laddr and one.laddr.port == port for one in process.net_connections()):
                    return name
        raise AssertionError(f"no worker has a connection from port {port}")


@contextmanager
def run_celery(
    folder: Path,
    receiver: Receiver,
    broker: str,
    starts: Sequence[int],
    env: Mapping[str, str] | None = None,
) -> Iterator[Celery]:
    """Start all of it but the broker, and end it.

    Args:
        broker: URL of Redis or RabbitMQ.
        starts: starts of incidents, in minutes after the log's first one.
        env: added to the environment of all components.
    """
    # so long ago that there is a midnight between: a replay then collects two days
    base = whole_hours_ago(26)
    incident = Incident(folder / "platform", base, tuple(starts))
    incident.folder.mkdir()
    incident.write((datetime.now(UTC) - base) // MINUTE)
    _add_source(incident)
    (incident.folder / "policies" / "more.yaml").write_text(yaml.safe_dump(_MORE))
    with run_mariadb() as database, pytest.MonkeyPatch.context() as patch:
        url = database.create_database("celery")
        stores = [open_store(one) for one in (url, database.create_database("undisturbed"))]
        for store in stores:
            upgrade(store)
        environment = {
            **incident.environment(url),
            # no runs but those that tests ask for; a DAG without schedule could have no backfill
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "MONITORING_POLICIES_PER_TASK": "3",
            # a task of a worker that was killed is given to another one this soon; a busy machine's
            # worker must not be taken for dead
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            **{
                f"MONITORING_POOL_{kind.upper()}": f"monitoring_{kind}"
                for kind in ("collect", "analysis", "upkeep")
            },
            **(env or {}),
        }
        for name, value in environment.items():
            if name != "USERDB_URL":
                patch.setenv(name, value)
        with AirflowServer(
            folder / "airflow", env=environment, broker=broker, worker_tasks=2
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


def held_policy(celery: Celery) -> Any:
    """Hold the lock of ``timeouts``: who scores policies in order gets halfway."""
    connection = celery.platform.store.engine.raw_connection()
    cursor = connection.cursor()
    cursor.execute("SELECT policy FROM policy_state WHERE policy = 'timeouts' FOR UPDATE")
    return connection


def held_transitions(celery: Celery) -> Any:
    """Hold the transitions: who folds policies gets as far as the first alert."""
    connection = celery.platform.store.engine.raw_connection()
    connection.cursor().execute("LOCK TABLES alert_transition READ")
    return connection


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
