"""Collecting many containers, and beside an engine that hangs.

    python -m benchmarks.containers [CONTAINERS]

An engine that is scripted takes as long for each answer as a real one that has much to do: 0.1 s
to describe a container, 0.7 s to measure it, 32 at the same time. Prints a Markdown table. The
bound is 10 s for 200 containers.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitoring.window import Window

from include.collectors.config import Settings
from include.collectors.run import run_collector
from tests.servers.scripted_engine import run_scripted_engine
from userdb.migrate import upgrade
from userdb.store import open_store

DESCRIBE_S, MEASURE_S, AT_ONCE = 0.1, 0.7, 32


def main() -> int:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    free = threading.Semaphore(AT_ONCE)
    print("| hosts | containers | rows | seconds |\n|---|---:|---:|---:|")
    release = threading.Event()
    with (
        run_scripted_engine(_answers(number, free)) as good,
        run_scripted_engine({"/version": lambda: _hang(release)}) as hung,
    ):
        one = _measure("one", number, [{"name": "good", "url": good.url}])
        _measure(
            "one, and one that hangs (limit 5 s)",
            number,
            [
                {"name": "good", "url": good.url},
                {"name": "hung", "url": hung.url, "timeout_s": 5},
            ],
        )
        release.set()
    return int(one > 10)


def _hang(release: threading.Event) -> tuple[int, Any]:
    release.wait(60)
    return 500, {}


def _answers(number: int, free: threading.Semaphore) -> dict[str, Any]:
    def slow(seconds: float, body: Any) -> Any:
        def answer() -> tuple[int, Any]:
            with free:
                time.sleep(seconds)
            return 200, body

        return answer

    names = [f"sim-{index}" for index in range(number)]
    answers: dict[str, Any] = {
        "/_ping": (200, b"OK"),
        "/events": (200, b""),
        "/containers/json": (
            200,
            [{"Id": f"id-{n}", "Names": [f"/{n}"], "Image": "sim:1", "Labels": {}} for n in names],
        ),
    }
    cpu = {"cpu_usage": {"total_usage": 600}, "system_cpu_usage": 2000, "online_cpus": 2}
    stats = {"cpu_stats": cpu, "memory_stats": {"usage": 10, "limit": 20}}
    for name in names:
        inspect = {
            "Id": f"id-{name}",
            "Name": f"/{name}",
            "RestartCount": 0,
            "Config": {"Image": "sim:1", "Labels": {}},
            "State": {"Status": "running", "ExitCode": 0, "OOMKilled": False},
        }
        answers[f"/containers/id-{name}/json"] = slow(DESCRIBE_S, inspect)
        answers[f"/containers/id-{name}/stats"] = slow(MEASURE_S, stats)
    return answers


def _measure(what: str, number: int, hosts: list[dict[str, Any]]) -> float:
    settings = Settings.model_validate({"container_stats": {"hosts": hosts}})
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'userdb.sqlite'}")
        upgrade(store)
        began = time.perf_counter()
        report = run_collector(
            "container_stats",
            Window(end - timedelta(minutes=5), end),
            store,
            now=datetime.now(UTC),
            settings=settings,
        )
        seconds = time.perf_counter() - began
        store.close()
    print(f"| {what} | {number} | {report.rows} | {seconds:.1f} |", flush=True)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
