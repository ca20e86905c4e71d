"""The DAGs as Airflow parses them: no errors, and the conventions that every task keeps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from monitoring.retention import MAX_DAYS

from tests.dags.conftest import ROOT, DagProcess
from userdb.models import Base

pytestmark = pytest.mark.airflow

COLLECTORS = [
    f"collect.{name}" for name in ("container_stats", "gateway_exceptions", "request_logs")
]
CHAIN = ["analysis.score_policies", "analysis.update_alerts", "analysis.notify"]


@pytest.fixture(scope="module")
def bag(dags: DagProcess) -> dict[str, Any]:
    return dags.describe()


@pytest.fixture(scope="module")
def chain(bag: dict[str, Any]) -> dict[str, Any]:
    dag: dict[str, Any] = bag["dags"]["monitoring_chain"]
    return dag


def test_every_file_imports(bag: dict[str, Any]) -> None:
    assert bag["errors"] == {}
    names = {"chain", "replay", "retention", "upkeep"}
    assert {f"monitoring_{name}" for name in names} <= set(bag["dags"])


def test_upkeep_runs_every_minute_one_run_at_a_time_and_makes_up_for_none(
    bag: dict[str, Any],
) -> None:
    dag = bag["dags"]["monitoring_upkeep"]
    assert dag["expression"] == "* * * * *"
    assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
    # a run that hangs doesn't hold the others up for long
    assert dag["timeout_s"] <= 300
    assert all(task["timeout_s"] < dag["timeout_s"] for task in dag["tasks"].values())
    assert {task_id: task["upstream"] for task_id, task in dag["tasks"].items()} == {
        "notify": [],
        "registry": [],
        "watch": [],
    }
    hourly = bag["dags"]["monitoring_retention"]
    assert hourly["expression"] == "17 * * * *"
    assert {task_id: task["upstream"] for task_id, task in hourly["tasks"].items()} == {
        "keep_partitions": [],
        "purge_raw_rows": [],
        "clean_metadata": [],
        "clean_logs": [],
    }
    days = [hourly["params"][name] for name in ("raw_days", "minute_days", "metadata_days")]
    assert {param["schema"]["maximum"] for param in days} == {MAX_DAYS}


def test_a_runs_success_is_told_where_it_is_news(bag: dict[str, Any]) -> None:
    told = {name for name, dag in bag["dags"].items() if dag["success_callback"]}
    assert told == {"monitoring_chain", "monitoring_upkeep"}


def test_every_dag_has_docs_tags_and_a_failure_callback(bag: dict[str, Any]) -> None:
    for dag_id, dag in bag["dags"].items():
        assert dag["doc"].strip(), dag_id
        assert "monitoring" in dag["tags"], dag_id
        assert dag["callback"], dag_id
        assert all(param["description"] for param in dag["params"].values()), dag_id


def test_every_task_has_docs_owner_retries_with_backoff_and_a_timeout(bag: dict[str, Any]) -> None:
    for dag_id, dag in bag["dags"].items():
        for task_id, task in dag["tasks"].items():
            where = f"{dag_id}.{task_id}"
            assert task["doc"].strip(), where
            assert task["owner"] == "monitoring", where
            assert task["timeout_s"], where
            if task_id != "watcher":
                assert task["retries"] >= 1, where
                assert task["backoff"] > 1, where


def test_rabbitmq_as_documented_waits_longer_than_any_task_may_take(bag: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    (milliseconds,) = re.findall(r"^    consumer_timeout = (\d+)$", page, re.MULTILINE)
    longest = max(
        task["timeout_s"] for dag in bag["dags"].values() for task in dag["tasks"].values()
    )
    assert longest == 2 * 3600, "the page says two hours"
    assert int(milliseconds) / 1000 > longest


def test_schedule_gives_real_five_minute_intervals(chain: dict[str, Any]) -> None:
    # a plain cron string would make zero-length ones
    assert chain["schedule"] == "CronDataIntervalTimetable"
    assert (chain["expression"], chain["timezone"]) == ("*/5 * * * *", "UTC")
    assert chain["start"] < "2021"
    assert chain["catchup"] is False
    assert chain["max_active_runs"] == 1


def test_tasks_encode_the_chain(chain: dict[str, Any]) -> None:
    upstream = {task_id: task["upstream"] for task_id, task in chain["tasks"].items()}
    assert upstream == {
        **{collector: [] for collector in COLLECTORS},
        "analysis.score_policies": COLLECTORS,
        "analysis.update_alerts": ["analysis.score_policies"],
        "analysis.notify": ["analysis.update_alerts"],
        "watcher": sorted([*COLLECTORS, *CHAIN]),
    }


def test_failed_task_stops_neither_the_rest_nor_the_alarm(chain: dict[str, Any]) -> None:
    tasks = chain["tasks"]
    assert {tasks[task_id]["trigger_rule"] for task_id in CHAIN} == {"all_done"}
    assert tasks["watcher"]["trigger_rule"] == "one_failed"
    assert tasks["watcher"]["retries"] == 0


def test_collectors_retries_begin_within_two_minutes(bag: dict[str, Any]) -> None:
    for collector in COLLECTORS:
        task = bag["dags"]["monitoring_chain"]["tasks"][collector]
        waits = sum(
            # Airflow adds up to the same again as jitter
            min(2 * task["retry_delay_s"] * task["backoff"] ** retry, task["max_retry_delay_s"])
            for retry in range(task["retries"])
        )
        assert waits + task["retries"] * bag["max_retried_s"] <= 120


def test_outlets_are_userdbs_tables(chain: dict[str, Any]) -> None:
    outlets = {uri for task in chain["tasks"].values() for uri in task["outlets"]}
    named = {uri.removeprefix("x-userdb://userdb/") for uri in outlets}
    assert named <= set(Base.metadata.tables)
    assert {"monitor_event", "request_log", "container_sample", "alert"} <= named


def test_params_make_a_usable_form(chain: dict[str, Any]) -> None:
    params = chain["params"]
    for name in ("window_start", "window_end"):
        assert params[name]["value"] is None
        assert params[name]["schema"]["type"] == ["null", "string"]
        assert params[name]["schema"]["format"] == "date-time"
    assert params["notify"]["value"] == "auto"
    assert params["notify"]["schema"]["enum"] == ["auto", "yes", "no"]


def test_few_sources_and_policies_make_no_task_more(bag: dict[str, Any]) -> None:
    tasks = bag["dags"]["monitoring_chain"]["tasks"]
    assert {task_id: task["mapped"] for task_id, task in tasks.items() if task["mapped"]} == {}
    placed = {
        (task["pool"], task["queue"])
        for dag in bag["dags"].values()
        for task in dag["tasks"].values()
    }
    assert placed == {("default_pool", "default")}


def test_many_sources_and_policies_are_shared_out_to_tasks_in_their_pools(
    dags: DagProcess, tmp_path: Path, chain: dict[str, Any]
) -> None:
    sources = {
        "request_logs": {"sources": [{"name": name} for name in ("${EDGE:-edge}", "b", "c")]},
        "container_stats": {"hosts": [{"name": "only"}]},
        "pull": {"nodes": [{"name": "gw-1"}, {"name": "gw-2"}]},
    }
    (tmp_path / "sources.yaml").write_text(json.dumps(sources))
    names = "".join(
        f"  - {{name: p{n}, signal: x}}\n  - kind: y\n    name: q{n}\n" for n in range(9)
    )
    (tmp_path / "many.yaml").write_text(f"policies:\n{names}")
    bag = dags.describe(
        MONITORING_SOURCES=str(tmp_path / "sources.yaml"),
        MONITORING_POLICIES=str(tmp_path / "many.yaml"),
        MONITORING_COLLECT_TASKS="2",
        MONITORING_POLICIES_PER_TASK="8",
        MONITORING_POOL_COLLECT="slow",
        MONITORING_QUEUE_COLLECT="edge",
        MONITORING_POOL_ANALYSIS="fast",
        MONITORING_QUEUE_UPKEEP="side",
        MONITORING_EXECUTOR_UPKEEP="LocalExecutor",
    )
    assert bag["errors"] == {}
    tasks = bag["dags"]["monitoring_chain"]["tasks"]
    assert {task_id: task["mapped"] for task_id, task in tasks.items() if task["mapped"]} == {
        "collect.request_logs": [["edge", "c"], ["b"]],
        "collect.pull": [["gw-1"], ["gw-2"]],
        "analysis.score_policies": [[0, 3], [1, 3], [2, 3]],
        "analysis.update_alerts": [[0, 3], [1, 3], [2, 3]],
    }
    del tasks["collect.pull"]
    for task_id, task in tasks.items():
        collects = task_id.startswith("collect.")
        assert (task["pool"], task["queue"]) == (
            ("slow", "edge") if collects else ("fast", "default")
        )
        same = (
            "trigger_rule",
            "retries",
            "timeout_s",
            "outlets",
            "doc",
            "retry_delay_s",
            "backoff",
        )
        assert {key: task[key] for key in same} == {
            key: chain["tasks"][task_id][key] for key in same
        }
    assert bag["dags"]["monitoring_replay"]["tasks"]["collect"]["pool"] == "slow"
    assert bag["dags"]["monitoring_upkeep"]["tasks"]["notify"]["queue"] == "side"
    executors = {
        (dag_id, task["executor"])
        for dag_id, dag in bag["dags"].items()
        for task in dag["tasks"].values()
    }
    assert executors == {
        ("monitoring_chain", None),
        ("monitoring_replay", None),
        ("monitoring_retention", "LocalExecutor"),
        ("monitoring_upkeep", "LocalExecutor"),
    }


@pytest.mark.parametrize("text", ["", "[", "request_logs: 7", "request_logs: {sources: [{}, 3]}"])
def test_settings_that_are_wrong_are_no_import_error(
    dags: DagProcess, tmp_path: Path, text: str
) -> None:
    (tmp_path / "sources.yaml").write_text(text)
    wrong = {"MONITORING_SOURCES": str(tmp_path / "sources.yaml"), "MONITORING_COLLECT_TASKS": "x"}
    bag = dags.describe(**wrong, MONITORING_POLICIES=str(tmp_path / "none"))
    assert bag["errors"] == {}
    assert "collect.pull" not in bag["dags"]["monitoring_chain"]["tasks"]


def test_a_replay_collects_day_by_day_and_analyses_once(bag: dict[str, Any]) -> None:
    dag = bag["dags"]["monitoring_replay"]
    upstream = {task_id: task["upstream"] for task_id, task in dag["tasks"].items()}
    assert upstream == {
        "days": [],
        "collect": ["days"],
        "analyse": ["collect"],
        "watcher": ["analyse", "collect", "days"],
    }
    assert dag["schedule"] == "NullTimetable"
    assert dag["tasks"]["analyse"]["trigger_rule"] == "all_done"
