"""Runs of the DAG monitoring_chain, triggered over Airflow's REST API."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from demo.airflow_api import AirflowApiError
from demo.incident import Slice
from demo.report import Run
from demo.supervisor import AirflowServer

DAG = "monitoring_chain"
_DAG_TIMEOUT_S = 60.0
_RUN_TIMEOUT_S = 120.0
_POLL_S = 0.5


class ChainError(Exception):
    """The chain could not be run; the text says why."""


def wait_for_dag(airflow: AirflowServer, tick: Callable[[], None]) -> None:
    """Until the DAG is parsed.

    Raises:
        ChainError: it isn't within a minute; names its import error.
    """
    deadline = time.monotonic() + _DAG_TIMEOUT_S
    while True:
        try:
            airflow.api.get(f"/dags/{DAG}")
        except AirflowApiError as error:
            if error.status != 404:
                raise
        else:
            return
        airflow.check()
        if time.monotonic() > deadline:
            errors = airflow.api.get("/importErrors")["import_errors"]
            told = "; ".join(f"{e['filename']}: {e['stack_trace'].strip()[-500:]}" for e in errors)
            raise ChainError(f"Airflow has not parsed {DAG}: {told or 'no import error is known'}")
        tick()
        time.sleep(_POLL_S)


def run_window(airflow: AirflowServer, window: Slice, tick: Callable[[str], None]) -> Run:
    """Run the chain for ``window`` and wait until it has ended.

    Raises:
        ChainError: it did not end in two minutes.
    """
    conf = {
        "window_start": f"{window.start:%Y-%m-%dT%H:%M:%SZ}",
        "window_end": f"{window.end:%Y-%m-%dT%H:%M:%SZ}",
    }
    run = airflow.api.post(f"/dags/{DAG}/dagRuns", {"logical_date": None, "conf": conf})
    path = f"/dags/{DAG}/dagRuns/{run['dag_run_id']}"
    deadline = time.monotonic() + _RUN_TIMEOUT_S
    while run["state"] not in ("success", "failed"):
        airflow.check()
        if time.monotonic() > deadline:
            raise ChainError(
                f"the run for {window} is {run['state']} after {_RUN_TIMEOUT_S:g} s; see it at "
                f"{airflow.url}/dags/{DAG}"
            )
        tick(_running(airflow.api.get(f"{path}/taskInstances")["task_instances"]))
        time.sleep(_POLL_S)
        run = airflow.api.get(path)
    return Run(str(window), run["state"], _seconds(run), _failures(airflow, path))


def _running(tasks: list[dict[str, Any]]) -> str:
    return ", ".join(
        task["task_id"].partition(".")[2] or task["task_id"]
        for task in tasks
        if task["state"] == "running"
    )


def _failures(airflow: AirflowServer, path: str) -> tuple[str, ...]:
    """Why tasks of a run failed, as they said it themselves."""
    told = []
    for task in airflow.api.get(f"{path}/taskInstances")["task_instances"]:
        name = task["task_id"]
        if task["state"] != "failed" or name == "watcher":
            continue
        try:
            reason = airflow.api.get(f"{path}/taskInstances/{name}/xcomEntries/failure")["value"]
        except AirflowApiError:  # ended before it could say
            reason = "it left no reason"
        told.append(f"{name}: {reason}")
    return tuple(told)


def _seconds(run: dict[str, Any]) -> float:
    start, end = (datetime.fromisoformat(run[name]) for name in ("start_date", "end_date"))
    return (end - start).total_seconds()
