"""A month as an Airflow backfill of single windows, beside a replay of the same.

    python -m benchmarks.backfill [--windows 60]

40 routes, 30 days, 20 policies, as in benchmarks/replay.py. The backfill's five-minute windows are
created over REST, eight at a time, and measured from its creation to the last run's end; what a
month of them would take is extrapolated. Collectors have no sources, so both work on the same
facts. The replay is a whole process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from benchmarks.replay_data import Traffic, fill_userdb
from benchmarks.replay_policies import write_policies
from demo.supervisor import AirflowServer
from userdb.store import open_store

WINDOW = timedelta(minutes=5)
DAG = "monitoring_chain"


def main(windows: int) -> None:
    traffic = Traffic(routes=40, days=30)
    with tempfile.TemporaryDirectory(prefix="backfill-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/userdb.sqlite"
        store = open_store(url)
        fill_userdb(store, traffic)
        store.close()
        (folder / "sources.yaml").write_text("{}\n")
        environment = {
            "USERDB_URL": url,
            "MONITORING_POLICIES": str(write_policies(folder / "policies")),
            "MONITORING_SOURCES": str(folder / "sources.yaml"),
        }
        backfill = _backfill(folder, environment, traffic, windows)
        replay = _replay(environment, traffic)
    whole = backfill / windows * (traffic.end - traffic.start) / WINDOW
    print(f"backfill of {windows} windows: {backfill:.1f} s, {backfill / windows:.2f} s each")
    print(f"a month of them, extrapolated: {whole / 3600:.1f} h")
    print(f"replay of the month: {replay:.1f} s; ratio {whole / replay:,.0f}")


def _backfill(folder: Path, environment: dict[str, str], traffic: Traffic, windows: int) -> float:
    with AirflowServer(folder / "airflow", env=environment) as server:
        while DAG not in {dag["dag_id"] for dag in server.api.get("/dags")["dags"]}:
            server.check()
            time.sleep(0.5)
        began = time.monotonic()
        last = traffic.start + (windows - 1) * WINDOW
        server.api.post(
            "/backfills",
            {
                "dag_id": DAG,
                "from_date": traffic.start.isoformat(),
                "to_date": last.isoformat(),
                "max_active_runs": 8,
            },
        )
        while True:
            runs = server.api.get(f"/dags/{DAG}/dagRuns", run_type="backfill", limit=500)
            states = [run["state"] for run in runs["dag_runs"]]
            if "failed" in states:
                raise SystemExit("a run of the backfill failed")
            if states.count("success") == windows:
                return time.monotonic() - began
            server.check()
            time.sleep(0.5)


def _replay(environment: dict[str, str], traffic: Traffic) -> float:
    command = Path(sys.executable).parent / "monitoring"
    began = time.monotonic()
    subprocess.run(
        [
            *(str(command), "replay", "--no-notify"),
            *("--from", traffic.start.isoformat(), "--to", traffic.end.isoformat()),
        ],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    return time.monotonic() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--windows", type=int, default=60)
    main(parser.parse_args().windows)
