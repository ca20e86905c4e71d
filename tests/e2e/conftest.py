"""One real Airflow for all end-to-end tests: components, REST API, PostgreSQL metadata.

It runs on its schedule all the while, as it would in production; tests use windows of
hours ago, one stretch of the log each, and a scheduled run changes nothing of what they expect.
By night a Celery worker executes the upkeep; all else runs beside the scheduler.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.supervisor import AirflowServer
from tests.incident import MINUTE, Incident, whole_hours_ago
from tests.servers.datagrams import Datagrams, receiving_datagrams
from tests.servers.redis import run_redis
from userdb.migrate import upgrade
from userdb.store import Store, open_store

DAG = "monitoring_chain"
#: Starts of incidents that are long over, in minutes after the log's first one; one a test.
BY_HAND, BY_REST, BY_CLI = OLD = (0, 120, 240)
#: One more has begun so many minutes ago.
RECENT = 32


@dataclass
class Receiver:
    """A local HTTP server that keeps the JSON bodies that it is sent, by path."""

    url: str
    _received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [body for at, body in list(self._received) if at == path]

    def keep(self, path: str, body: dict[str, Any]) -> None:
        self._received.append((path, body))


@dataclass(frozen=True)
class Platform:
    """The running Airflow, its userdb, and the files that its chain reads."""

    server: AirflowServer
    store: Store
    incident: Incident
    receiver: Receiver

    def trigger(self, conf: Mapping[str, Any], dag_id: str = DAG) -> str:
        """Trigger a run by hand over REST; returns its id."""
        body = {"logical_date": None, "conf": dict(conf)}
        run: dict[str, Any] = self.server.api.post(f"/dags/{dag_id}/dagRuns", body)
        return str(run["dag_run_id"])

    def finished(self, run_id: str, dag_id: str = DAG, timeout: float = 240) -> dict[str, Any]:
        """Wait for a run to end; returns it, with its tasks' states under ``tasks``."""
        run: dict[str, Any] = {}

        def ended() -> bool:
            run.update(self.server.api.get(f"/dags/{dag_id}/dagRuns/{run_id}"))
            return run["state"] in ("success", "failed")

        self.wait(ended, f"run {run_id} to end", timeout)
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        instances = self.server.api.get(path)["task_instances"]
        return {**run, "tasks": {one["task_id"]: one["state"] for one in instances}}

    def log_of(self, run_id: str, task_id: str, dag_id: str = DAG, attempt: int = 1) -> str:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        return json.dumps(self.server.api.get(path))

    def wait(self, done: Callable[[], bool], what: str, timeout: float = 240) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            self.server.check()
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout:.0f} s in vain for {what}")
            time.sleep(0.3)

    def backfills_ended(self) -> None:
        """Wait until no backfill is active: a DAG has one at a time."""

        def ended() -> bool:
            found = self.server.api.get("/backfills", dag_id=DAG)["backfills"]
            return all(one["completed_at"] for one in found)

        self.wait(ended, "the backfill to end", timeout=400)

    def history(self, since: datetime, until: datetime) -> list[tuple[datetime, str]]:
        """Transitions of the alert ``timeouts`` in [since, until), over our own HTTP API."""
        result = []
        query = {"policy": "timeouts", "from": since.isoformat(), "to": until.isoformat()}
        for alert in self.server.api.get("//monitoring/api/v1/alerts", **query):
            path = f"//monitoring/api/v1/alerts/{alert['id']}/history"
            result += [
                (datetime.fromisoformat(row["at"]), str(row["to_state"]))
                for row in self.server.api.get(path)
            ]
        return sorted(result)

    def anonymous(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        data: Mapping[str, str] | None = None,
        **headers: str,
    ) -> requests.Response:
        """A request without credentials, or with those of ``headers``."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, self.server.url + path, headers=headers, json=json, data=data, timeout=30
            )


def _body(text: bytes) -> dict[str, Any]:
    """The JSON object of a message; the heartbeat's text as the field ``text``."""
    if text.startswith(b"{"):
        body: dict[str, Any] = json.loads(text)
        return body
    return {"text": text.decode()}


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Takes webhooks and the watchdog's messages."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"]))
            taken.keep(self.path, _body(text))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    taken = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield taken
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def statsd() -> Iterator[Datagrams]:
    """Takes what Airflow's components and tasks send as StatsD metrics."""
    with receiving_datagrams() as taken:
        yield taken


@pytest.fixture(scope="session")
def broker() -> Iterator[str | None]:
    """The URL of a Redis; None by day, as a worker takes minutes of the machine, or without one."""
    if os.environ.get("TESTS_PROFILE") != "by_night" or shutil.which("redis-server") is None:
        yield None
        return
    with run_redis() as redis:
        yield redis.url


@pytest.fixture(scope="session")
def platform(
    tmp_path_factory: pytest.TempPathFactory,
    receiver: Receiver,
    statsd: Datagrams,
    broker: str | None,
) -> Iterator[Platform]:
    """The running Airflow. Needs the markers ``airflow`` and ``e2e`` on the test."""
    folder: Path = tmp_path_factory.mktemp("e2e")
    base = whole_hours_ago(8)
    minutes = (datetime.now(UTC) - base) // MINUTE
    incident = Incident(folder / "platform", base, (*OLD, minutes - RECENT))
    incident.folder.mkdir()
    incident.write(minutes)
    url = f"sqlite:///{folder}/userdb.sqlite"
    store = open_store(url)
    upgrade(store)
    environment = {
        **incident.environment(url),
        "MONITORING_WEBHOOK_URL": f"{receiver.url}/webhook",
        "MONITORING_WATCHDOG_URL": f"{receiver.url}/watchdog",
        "MONITORING_HEARTBEAT_URL": f"{receiver.url}/heartbeat",
        "MONITORING_HEARTBEAT_SIGNALS": "fail",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(statsd.port),
    }
    if broker:
        environment |= {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor,CeleryExecutor",
            "MONITORING_EXECUTOR_UPKEEP": "CeleryExecutor",
        }
    with AirflowServer(folder / "airflow", env=environment, broker=broker, workers=1) as server:
        running = Platform(server, store, incident, receiver)
        running.wait(lambda: _parsed(server), "the DAGs to be parsed")
        yield running
    store.close()


def _parsed(server: AirflowServer) -> bool:
    found = {dag["dag_id"] for dag in server.api.get("/dags")["dags"]}
    return {"monitoring_chain", "monitoring_retention", "monitoring_upkeep"} <= found
