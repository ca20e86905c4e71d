"""The chain's wall time in a real Airflow, beside a DAG of the same shape that does nothing.

    python -m benchmarks.chain_overhead [--runs 5] [--requests-per-minute 1000]

Both run alternately in one Airflow; a run's time is its own end_date less its start_date. What
the no-op takes is Airflow's: scheduling, starting task processes. The rest is the chain's work.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.supervisor import AirflowServer
from tests.incident import MINUTE, Incident
from userdb.migrate import upgrade
from userdb.store import open_store

ROOT = Path(__file__).resolve().parent.parent

_NOOP = """
from datetime import UTC, datetime

from airflow.sdk import DAG, TaskGroup, TriggerRule, task

with DAG("noop_chain", schedule=None, start_date=datetime(2020, 1, 1, tzinfo=UTC)):
    def noop(name, **options):
        @task(task_id=name, **options)
        def nothing(**context):
            return {"name": name}
        return nothing()

    with TaskGroup("collect"):
        collected = [noop(name) for name in ("a", "b", "c")]
    with TaskGroup("analysis"):
        scored, updated, notified = (
            noop(name, trigger_rule=TriggerRule.ALL_DONE) for name in ("score", "update", "notify")
        )
        scored >> updated >> notified
    collected >> scored
    [*collected, scored, updated, notified] >> noop("watcher", trigger_rule=TriggerRule.ONE_FAILED)
"""


def run_once(server: AirflowServer, dag_id: str, conf: dict[str, Any]) -> float:
    """Trigger a run, wait for its end and return its seconds."""
    body = {"logical_date": None, "conf": conf}
    path = (
        f"/dags/{dag_id}/dagRuns/" + server.api.post(f"/dags/{dag_id}/dagRuns", body)["dag_run_id"]
    )
    while (run := server.api.get(path))["state"] not in ("success", "failed"):
        server.check()
        time.sleep(0.2)
    if run["state"] == "failed":
        raise SystemExit(f"{dag_id} failed: {path}")
    start, end = (datetime.fromisoformat(run[name]) for name in ("start_date", "end_date"))
    return (end - start).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests-per-minute", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chain-overhead-") as name:
        folder = Path(name)
        dags = folder / "dags"
        dags.mkdir()
        (dags / "noop_chain.py").write_text(_NOOP)
        (dags / "monitoring_chain.py").symlink_to(ROOT / "dags" / "monitoring_chain.py")
        minutes = 5 * (given.runs + 2)
        base = datetime.now(UTC).replace(second=0, microsecond=0) - (minutes + 5) * MINUTE
        incident = Incident(folder / "platform", base)
        incident.folder.mkdir()
        incident.write(minutes, given.requests_per_minute)
        store = open_store(f"sqlite:///{folder}/userdb.sqlite")
        upgrade(store)
        store.close()
        environment = {
            **incident.environment(f"sqlite:///{folder}/userdb.sqlite"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "MONITORING_SCHEDULE": "none",
        }
        with AirflowServer(folder / "airflow", env=environment) as server:
            while len(server.api.get("/dags")["dags"]) < 2:
                server.check()
                time.sleep(0.5)
            times: dict[str, list[float]] = {"noop_chain": [], "monitoring_chain": []}
            for number in range(given.runs + 1):
                for dag_id, taken in times.items():
                    window = incident.window(5 * number, 5 * number + 5)
                    took = run_once(server, dag_id, window if dag_id == "monitoring_chain" else {})
                    if number:  # the first of each only warms up
                        taken.append(took)
    medians = {dag_id: statistics.median(taken) for dag_id, taken in times.items()}
    for dag_id, taken in times.items():
        print(f"{dag_id:18} median {medians[dag_id]:5.2f} s of", *(f"{one:.2f}" for one in taken))
    print(f"ratio {medians['monitoring_chain'] / medians['noop_chain']:.2f}")


if __name__ == "__main__":
    main()
