"""What a run of the chain leaves behind for those who operate it: log lines and metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import BY_HAND, Platform
from tests.servers.datagrams import Datagrams

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(900)]

COLLECTORS = ("gateway_exceptions", "request_logs", "container_stats")
ROOT = Path(__file__).resolve().parents[2]
TASKS = {
    "collect.request_logs": {"collector": "request_logs", "rows": 1200},
    "analysis.score_policies": {"policies": 1},
    "analysis.update_alerts": {},
    "analysis.notify": {"decided": 0},
}


def lines(platform: Platform, run_id: str, task_id: str) -> list[dict[str, Any]]:
    """Every line of a task's log file, as the JSON object that it is."""
    logs = Path(platform.server.home, "logs")
    (path,) = logs.rglob(f"*run_id={run_id}/task_id={task_id}/attempt=1.log")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_say_which_run_and_window_and_numbers_go_where_airflows_go(
    platform: Platform, statsd: Datagrams
) -> None:
    incident = platform.incident
    window = incident.window(BY_HAND, BY_HAND + 60)
    run_id = platform.trigger(window)
    assert platform.finished(run_id)["state"] == "success"
    start, end = incident.at(BY_HAND).isoformat(), incident.at(BY_HAND + 60).isoformat()
    for task_id, fields in TASKS.items():
        ours = [
            one
            for one in lines(platform, run_id, task_id)
            if str(one.get("logger")).startswith(("monitoring", "include", "userdb"))
        ]
        assert ours, task_id
        for line in ours:
            assert line["dag_id"] == "monitoring_chain"
            assert (line["run_id"], line["task_id"]) == (run_id, task_id)
            assert (line["window_start"], line["window_end"]) == (start, end)
            assert line["event"]
            assert line["level"] in ("info", "warning")
        assert [one for one in ours if fields.items() <= one.items()], (task_id, ours)

    page = (ROOT / "docs" / "operating" / "metrics.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(monitoring\.[\w.]+)` \| (\w+) \|", page, re.M))
    of_collector = {name for name in listed if "COLLECTOR" in name}
    assert len(of_collector) == 7
    kinds = {"counter": "c", "gauge": "g", "timer": "ms"}
    wanted = {
        name.replace("COLLECTOR", collector): kinds[kind]
        for name, kind in listed.items()
        for collector in COLLECTORS
        # how late a window of the past is says nothing: only scheduled runs tell
        if not name.endswith("lateness_seconds")
    }

    def came() -> dict[str, str]:
        found = statsd.names("airflow.monitoring.")
        return {name.removeprefix("airflow."): kind for name, kind in found.items()}

    platform.wait(lambda: wanted.items() <= came().items(), "the chain's metrics", timeout=60)
    late = "monitoring.collect.request_logs.lateness_seconds"
    assert came().keys() - wanted.keys() <= {
        late.replace("request_logs", one) for one in COLLECTORS
    }
    assert "airflow.monitoring.collect.request_logs.rows:1200|c" in statsd.lines("airflow")
