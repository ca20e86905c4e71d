"""A process that has Airflow imported, for the tests of this folder.

Airflow reads its environment when it is imported, and a process that has imported it resolves
connections through it from then on. So it isn't imported into pytest's own process, and as its
import takes seconds, one process serves all tests. Commands and answers are lines of JSON; the
process' stdout and stderr are its log.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import datetime
from typing import Any


def describe_bag() -> dict[str, Any]:
    """Every DAG, its params and its tasks, as Airflow parsed them."""
    from airflow.dag_processing.dagbag import DagBag
    from monitoring.dag_tasks.chain import MAX_RETRIED_SECONDS

    bag = DagBag()
    return {
        "max_retried_s": MAX_RETRIED_SECONDS,
        "errors": {str(path): str(error) for path, error in bag.import_errors.items()},
        "dags": {dag_id: _describe_dag(dag) for dag_id, dag in bag.dags.items()},
    }


def _describe_dag(dag: Any) -> dict[str, Any]:
    return {
        "doc": dag.doc_md or "",
        "tags": sorted(dag.tags),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "schedule": type(dag.timetable).__name__,
        "expression": getattr(dag.timetable, "expression", None),
        "timezone": str(getattr(dag.timetable, "timezone", "")),
        "start": dag.start_date.isoformat(),
        "timeout_s": dag.dagrun_timeout.total_seconds() if dag.dagrun_timeout else None,
        "callback": dag.on_failure_callback is not None,
        "success_callback": dag.on_success_callback is not None,
        "params": {name: _describe_param(dag.params.get_param(name)) for name in dag.params},
        "tasks": {task_id: _describe_task(task) for task_id, task in dag.task_dict.items()},
    }


def _describe_param(param: Any) -> dict[str, Any]:
    return {"schema": param.schema, "value": param.value, "description": param.description}


def _describe_task(task: Any) -> dict[str, Any]:
    seconds = task.execution_timeout.total_seconds() if task.execution_timeout else None
    maximum = task.max_retry_delay
    maximum_s = maximum.total_seconds() if hasattr(maximum, "total_seconds") else maximum
    return {
        "owner": task.owner,
        "doc": task.doc_md or "",
        "retries": task.retries,
        "retry_delay_s": task.retry_delay.total_seconds(),
        "backoff": task.retry_exponential_backoff,
        "max_retry_delay_s": maximum_s,
        "timeout_s": seconds,
        "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        "upstream": sorted(task.upstream_task_ids),
        "outlets": sorted(asset.uri for asset in task.outlets),
        "mapped": _mapped_over(task),
        "pool": task.pool,
        "queue": task.queue,
        "executor": task.executor,
    }


def _mapped_over(task: Any) -> list[Any] | None:
    """What a task is mapped over, where that is known from the file."""
    if not task.is_mapped:
        return None
    values = getattr(task._get_specified_expand_input(), "value", {})
    (literal,) = values.values()
    return list(literal) if isinstance(literal, list) else []


def run_dag(dag_id: str, conf: dict[str, Any], logical_date: str | None) -> dict[str, Any]:
    """``dag.test()``: the run's and its tasks' states, and what they left in XCom."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    dag = DagBag().dags[dag_id]
    for task in dag.task_dict.values():
        task.retry_delay = task.retry_delay * 0  # dag.test() sleeps through the waits
    at = datetime.fromisoformat(logical_date) if logical_date else None
    run = dag.test(logical_date=at, run_conf=conf)
    with create_session() as session:
        where = {"dag_id": dag_id, "run_id": run.run_id}
        instances = session.scalars(select(TaskInstance).filter_by(**where)).all()
        xcoms = session.execute(
            select(
                XComModel.task_id, XComModel.map_index, XComModel.key, XComModel.value
            ).filter_by(**where)
        ).all()
        return {
            "state": str(run.state.value),
            "run_id": run.run_id,
            "tasks": {_label(one): str(one.state) for one in instances},
            "xcoms": {f"{_label(row)}/{row.key}": row.value for row in xcoms},
        }


def _label(row: Any) -> str:
    return row.task_id if row.map_index < 0 else f"{row.task_id}[{row.map_index}]"


def fail_a_try(error: str, took_s: float, retried_within_s: float | None) -> dict[str, Any]:
    """What a task's body that fails after a time, with the errors that ``error`` names, raises and
    leaves in XCom."""
    from monitoring import run_failures

    from userdb import errors

    left = {}

    class TaskInstance:
        def xcom_push(self, key: str, value: Any) -> None:
            left[key] = value

    kinds = {"ConfigError": errors.ConfigError, "CollectionError": errors.CollectionError}
    try:
        context = {"ti": TaskInstance()}
        with run_failures.failure_told(context, retried_within_s=retried_within_s):
            time.sleep(took_s)
            raise run_failures.merged([kinds[one]("the log is gone") for one in error.split()])
    except Exception as raised:
        return {"raised": type(raised).__name__, "text": str(raised), "left": left}
    raise AssertionError("the failure was swallowed")


def serve(answers: Any) -> None:
    from airflow.utils.db import initdb

    initdb()
    commands = {"bag": describe_bag, "run": run_dag, "fail": fail_a_try}
    for line in sys.stdin:
        request = json.loads(line)
        os.environ.update(request["env"])
        answer = commands[request["command"]](**request["arguments"])
        for name in request["env"]:
            os.environ.pop(name)
        print(json.dumps(answer, default=str), file=answers, flush=True)


if __name__ == "__main__":
    private = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(private)
