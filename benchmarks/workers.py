"""One run of the chain on two Celery workers, against one: the same work, the ratio of the times.

    python -m benchmarks.workers [--runs 3] [--policies 400] [--sources 4] [--wait 8]

Each worker runs one task at a time, so that two workers are two processes and one is one. The
second one is ended for the runs on one, and started again before the others begin. userdb is a
MariaDB of the benchmark's own.

Two cases. In the one, tasks compute: log sources make tasks that collect, policies parts of the
analysis. In the other they wait: there are as many nodes to pull as log sources, and each takes its
time to answer, while the window is a single minute. Beside each time is how busy the machine's
processors were: where they are all busy, a second worker can't help.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.chain_overhead import run_once
from demo.supervisor import AirflowServer
from tests.incident import MINUTE, Incident
from tests.servers.mariadb import run_mariadb
from tests.servers.node import page, run_scripted_node
from tests.servers.redis import run_redis
from userdb.migrate import upgrade
from userdb.store import open_store

DAG = "monitoring_chain"


@dataclass(frozen=True)
class Case:
    """What a run does: minutes of its window, and how long each node takes to answer."""

    name: str
    window: int
    wait_s: float


@dataclass
class Node:
    """A node that holds no events, and says so late."""

    covered: list[dict[str, str]]
    wait_s: float = 0.0

    def answer(self, _kind: str, _handler: object) -> bytes:
        time.sleep(self.wait_s)
        return page([], covered=self.covered)


@contextmanager
def slow_nodes(node: Node, count: int) -> Iterator[list[dict[str, Any]]]:
    """So many nodes that answer alike, as the settings name them."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(run_scripted_node(f"node-{number}", node.answer))
            for number in range(count)
        ]
        yield [{"name": one.name, "url": one.url, "kinds": ["events"]} for one in nodes]


def write_platform(
    incident: Incident, minutes: int, nodes: list[dict[str, Any]], given: argparse.Namespace
) -> None:
    """Logs of several sources, nodes to pull, and policies over the logs."""
    incident.folder.mkdir()
    incident.write(minutes, given.requests_per_minute)
    text = incident.log.read_text()
    names = [f"source-{number}" for number in range(given.sources)]
    for name in names:
        (incident.folder / f"{name}.log").write_text(text)
    settings = json.loads((incident.folder / "sources.yaml").read_text())
    settings["request_logs"]["sources"] = [
        {
            "name": name,
            "paths": [str(incident.folder / f"{name}.log")],
            "format": "nginx_combined",
        }
        for name in names
    ]
    settings["pull"] = {"timeout_s": given.wait + 60, "nodes": nodes}
    (incident.folder / "sources.yaml").write_text(json.dumps(settings))
    policies = [
        {
            "name": f"busy-{number}",
            "signal": "requests.count",
            "aggregate": "sum",
            "by": ["source"],
            "window": "5m",
            "condition": f"> {number}",
            "for": "2m",
        }
        for number in range(given.policies)
    ]
    (incident.folder / "policies" / "many.yaml").write_text(yaml.safe_dump({"policies": policies}))


def measure(
    server: AirflowServer, incident: Incident, node: Node, cases: list[Case], runs: int
) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """Seconds and processors' use in percent of each run, by case and number of workers."""
    measured: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for number in range(2 * (runs + 1)):
        workers = 2 - number % 2
        if workers == 1:
            server.kill_worker("worker-2")
        for case in cases:
            node.wait_s = case.wait_s
            first = cases[0].window * number
            psutil.cpu_percent()  # what it says next is from here on
            took = run_once(server, DAG, incident.window(first, first + case.window))
            if number >= 2:  # the first of each only warms up
                found = measured.setdefault((case.name, workers), [])
                found.append((took, psutil.cpu_percent()))
        if workers == 1:
            server.start_worker("worker-2")
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--policies", type=int, default=400)
    parser.add_argument("--sources", type=int, default=4)
    parser.add_argument("--requests-per-minute", type=int, default=1000)
    parser.add_argument("--wait", type=float, default=8, help="seconds that a slow node takes")
    given = parser.parse_args()
    cases = [Case("computing", 60, 0), Case("waiting", 1, given.wait)]
    minutes = cases[0].window * 2 * (given.runs + 1)
    base = datetime.now(UTC).replace(second=0, microsecond=0) - (minutes + 5) * MINUTE
    with (
        tempfile.TemporaryDirectory(prefix="workers-") as name,
        run_mariadb() as database,
        run_redis() as redis,
    ):
        folder = Path(name)
        incident = Incident(folder / "platform", base)
        node = Node([{"from": base.isoformat(), "to": incident.at(minutes).isoformat()}])
        with slow_nodes(node, given.sources) as nodes:
            write_platform(incident, minutes, nodes, given)
            url = database.create_database("workers")
            store = open_store(url)
            upgrade(store)
            store.close()
            environment = {
                **incident.environment(url),
                "MONITORING_SCHEDULE": "none",
                # with that of the incident, two parts
                "MONITORING_POLICIES_PER_TASK": str(given.policies // 2 + 1),
            }
            with AirflowServer(
                folder / "airflow", env=environment, broker=redis.url, worker_tasks=1
            ) as server:
                while DAG not in {dag["dag_id"] for dag in server.api.get("/dags")["dags"]}:
                    server.check()
                    time.sleep(0.5)
                measured = measure(server, incident, node, cases, given.runs)
    for case in cases:
        medians = {}
        for workers in (1, 2):
            found = measured[case.name, workers]
            medians[workers] = statistics.median(took for took, _ in found)
            listed = " ".join(f"{took:.2f}" for took, _ in found)
            busy = statistics.median(percent for _, percent in found)
            print(
                f"{case.name:10} {workers} worker(s): median {medians[workers]:6.2f} s of {listed}"
                f", processors {busy:.0f} % busy"
            )
        print(f"{case.name:10} two workers take {medians[2] / medians[1]:.2f} of the time of one")


if __name__ == "__main__":
    main()
