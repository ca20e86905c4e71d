"""Upkeep and retention in a real Airflow: tasks reach userdb and Airflow's own database."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from demo.airflow_api import AirflowApiError
from tests.e2e.conftest import DAG, Platform

# a busy machine starts a task in seconds, not in tenths of one
pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(900)]

RETENTION = "monitoring_retention"
UPKEEP = "monitoring_upkeep"


def test_old_metadata_is_deleted_and_new_stays(platform: Platform) -> None:
    start = {"window_start": platform.incident.at(0).isoformat()}  # fails at once
    old, new = (platform.trigger(start) for _ in range(2))
    for run_id in (old, new):
        platform.finished(run_id)
    engine = create_engine(platform.server.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE dag_run SET start_date = now() - interval '40 days' WHERE run_id = :id"),
            {"id": old},
        )
    engine.dispose()
    run = platform.finished(platform.trigger({}, RETENTION), RETENTION)
    assert set(run["tasks"].values()) == {"success"}, run
    assert platform.server.api.get(f"/dags/{DAG}/dagRuns/{new}")["dag_run_id"] == new
    with pytest.raises(AirflowApiError) as refused:
        platform.server.api.get(f"/dags/{DAG}/dagRuns/{old}")
    assert refused.value.status == 404


def test_old_logs_are_deleted_and_new_stay(platform: Platform) -> None:
    start = {"window_start": platform.incident.at(0).isoformat()}  # fails at once
    old, new = (platform.trigger(start) for _ in range(2))
    for run_id in (old, new):
        platform.finished(run_id)
    logs = Path(platform.server.environment["AIRFLOW__LOGGING__BASE_LOG_FOLDER"])
    folder, kept = (logs / f"dag_id={DAG}" / f"run_id={run_id}" for run_id in (old, new))
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert written
    size = sum(path.stat().st_size for path in written)
    then = time.time() - 40 * 86400
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (then, then))
    before = {path for path in kept.rglob("*") if path.is_file()}
    assert before

    run_id = platform.trigger({}, RETENTION)
    run = platform.finished(run_id, RETENTION)
    assert set(run["tasks"].values()) == {"success"}, run
    assert not folder.exists()
    assert before == {path for path in kept.rglob("*") if path.is_file()}
    entry = f"/dags/{RETENTION}/dagRuns/{run_id}/taskInstances/clean_logs/xcomEntries/return_value"
    deleted = platform.server.api.get(entry)["value"]["deleted"]
    assert (deleted["files"], deleted["bytes"], deleted["failed"]) == (len(written), size, 0)
    assert f"deleted below {logs}" in platform.log_of(run_id, "clean_logs", RETENTION)


def test_upkeep_runs_by_itself_and_succeeds(platform: Platform) -> None:
    def ended() -> list[str]:
        runs = platform.server.api.get(f"/dags/{UPKEEP}/dagRuns")["dag_runs"]
        return [run["state"] for run in runs if run["state"] in ("success", "failed")]

    platform.wait(lambda: bool(ended()), "a scheduled run of upkeep")
    assert set(ended()) == {"success"}


@pytest.mark.redis
@pytest.mark.nightly
def test_a_celery_worker_executes_it_and_leaves_the_chain_to_the_scheduler(
    platform: Platform,
) -> None:
    def executed(run_id: str, dag_id: str) -> dict[str, bool]:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        ran = [one for one in platform.server.api.get(path)["task_instances"] if one["start_date"]]
        return {one["task_id"]: one["id"] in worker.read_text(errors="replace") for one in ran}

    (name,) = platform.server.workers
    worker = platform.server.logs / f"{name}.log"
    upkeep = platform.trigger({}, UPKEEP)
    assert platform.finished(upkeep, UPKEEP)["state"] == "success"
    assert executed(upkeep, UPKEEP) == {"notify": True, "registry": True, "watch": True}
    chain = platform.trigger({"window_start": platform.incident.at(0).isoformat()})  # fails at once
    platform.finished(chain)
    assert set(executed(chain, DAG).values()) == {False}
