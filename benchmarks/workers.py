"""One run of the chain on two Celery workers, against one: the same work, the ratio of the times.

    python -m benchmarks.workers [--runs 3] [--policies 400] [--sources 4]

Each worker runs one task at a time, so that two workers are two processes and one is one. The
second one is ended for the runs on one, and started again before the others begin. The log
sources make tasks that collect, the policies parts of the analysis. userdb is a MariaDB of the
benchmark's own. On a machine with two cores, what Airflow itself needs takes part of the second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import yaml

from benchmarks.chain_overhead import run_once
from demo.supervisor import AirflowServer
from tests.incident import MINUTE, Incident
from tests.servers.mariadb import run_mariadb
from tests.servers.redis import run_redis
from userdb.migrate import upgrade
from userdb.store import open_store

DAG = "monitoring_chain"
#: Minutes of a run's window.
WINDOW = 60


def write_platform(
    incident: Incident, minutes: int, per_minute: int, given: argparse.Namespace
) -> None:
    """Logs of several sources, and policies over them."""
    incident.folder.mkdir()
    incident.write(minutes, per_minute)
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--policies", type=int, default=400)
    parser.add_argument("--sources", type=int, default=4)
    parser.add_argument("--requests-per-minute", type=int, default=1000)
    given = parser.parse_args()
    count = 2 * (given.runs + 1)
    minutes = WINDOW * count
    base = datetime.now(UTC).replace(second=0, microsecond=0) - (minutes + 5) * MINUTE
    with (
        tempfile.TemporaryDirectory(prefix="workers-") as name,
        run_mariadb() as database,
        run_redis() as redis,
    ):
        folder = Path(name)
        incident = Incident(folder / "platform", base)
        write_platform(incident, minutes, given.requests_per_minute, given)
        url = database.create_database("workers")
        store = open_store(url)
        upgrade(store)
        store.close()
        environment = {
            **incident.environment(url),
            "MONITORING_SCHEDULE": "none",
            "MONITORING_POLICIES_PER_TASK": str(max(given.policies // 2, 1)),
        }
        times: dict[int, list[float]] = {1: [], 2: []}
        with AirflowServer(
            folder / "airflow", env=environment, broker=redis.url, worker_tasks=1
        ) as server:
            while DAG not in {dag["dag_id"] for dag in server.api.get("/dags")["dags"]}:
                server.check()
                time.sleep(0.5)
            for number in range(count):
                workers = 2 - number % 2
                if workers == 1:
                    server.kill_worker("worker-2")
                window = incident.window(WINDOW * number, WINDOW * (number + 1))
                took = run_once(server, DAG, window)
                if number >= 2:  # the first of each only warms up
                    times[workers].append(took)
                if workers == 1:
                    server.start_worker("worker-2")
    medians = {workers: statistics.median(taken) for workers, taken in times.items()}
    for workers, taken in times.items():
        listed = " ".join(f"{one:.2f}" for one in taken)
        print(f"{workers} worker(s): median {medians[workers]:6.2f} s of {listed}")
    print(f"two workers take {medians[2] / medians[1]:.2f} of the time of one")


if __name__ == "__main__":
    main()
