"""Upkeep: what can't wait for the chain's next run, every minute.

Thin on purpose: every task is one call into ``monitoring.dag_tasks.upkeep``.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, task
from monitoring import dag_layout

DOCS = """
### Between two runs of the chain

Every minute, three tasks that don't depend on each other:

- **notify** – tells receivers what is due: messages that could not be delivered, repeats,
  escalations, and what an operator resolved by hand. A receiver that fails doesn't fail the task:
  its messages stay in the outbox and are tried again.
- **registry** – makes the active health checks of registered instances, deregisters those whose
  lease has been over for too long, and tells what changed by events. A service with fewer healthy
  instances than its floor loses none, and an event tells of it every minute.
- **watch** – looks at the chain itself, and tells `MONITORING_WATCHDOG_URL` once when something
  begins to be wrong and once when it is over: a policy's state is stale, a window is overdue, a
  collector failed for several windows in a row, userdb can't be reached.

A run that takes longer than a minute delays the next; none is made up for. That runs of this DAG
fail is told once, too. `monitoring watch` looks at the same without Airflow.
"""


def tell_failure(context: dict[str, Any]) -> None:
    from monitoring import run_failures

    run_failures.tell_watchdog_once(context, failed=True)


def tell_success(context: dict[str, Any]) -> None:
    from monitoring import run_failures

    run_failures.tell_watchdog_once(context, failed=False)


with DAG(
    dag_id="monitoring_upkeep",
    description="Retries, repeats and escalations; the service registry; the watchdog",
    doc_md=DOCS,
    # the demo and tests trigger windows of their own: a scheduled run would be in their way
    schedule=None
    if os.environ.get("MONITORING_SCHEDULE") == "none"
    else CronDataIntervalTimetable("* * * * *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    # one that hangs is ended before many minutes went without
    dagrun_timeout=timedelta(minutes=5),
    tags=["monitoring"],
    on_failure_callback=tell_failure,
    on_success_callback=tell_success,
    default_args={
        "owner": "monitoring",
        **dag_layout.placement("upkeep"),
        # the next run comes in a minute
        "retries": 1,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(seconds=15),
        "execution_timeout": timedelta(minutes=2),
    },
) as dag:

    @task(doc_md="Tell receivers what is due, and deliver again what could not be delivered.")
    def notify(**context: Any) -> dict[str, Any]:
        from monitoring.dag_tasks import upkeep

        return upkeep.notify(context)

    @task(doc_md="Check registered instances, and deregister those whose lease is over.")
    def registry(**context: Any) -> dict[str, Any]:
        from monitoring.dag_tasks import upkeep

        return upkeep.keep_registry(context)

    @task(doc_md="Tell the watchdog what is wrong with the chain itself.")
    def watch(**context: Any) -> dict[str, Any]:
        from monitoring.dag_tasks import upkeep

        return upkeep.watch(context)

    notify()
    registry()
    watch()
