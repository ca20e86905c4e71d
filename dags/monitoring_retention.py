"""Retention: what keeps the monitoring chain's databases and logs small for years.

Thin on purpose: every task is one call into ``monitoring.dag_tasks.retention``.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, task
from monitoring import dag_layout

DOCS = """
### Retention

Hourly, tasks that don't depend on each other:

- **keep_partitions** – makes the daily partitions of the next week, where userdb is on a server.
- **purge_raw_rows** – deletes raw rows (requests and events) older than `raw_days`. What the
  analysis reads (counts per minute, container samples) goes only after `minute_days`, by default
  never; alerts and their history stay. `table_days` has tables' own days. On a server whole days
  go, by dropping their partitions.
- **clean_metadata** – deletes what Airflow's own database holds from before `metadata_days` ago.
  Where Airflow's connection is set by environment variable, set `MONITORING_METADATA_URL` to the
  same value: Airflow hides its own from tasks.
- **clean_logs** – deletes files below Airflow's `base_log_folder` to which nobody wrote for
  `metadata_days`, and folders left empty, on the machine that it runs on.
"""


def tell_watchdog(context: dict[str, Any]) -> None:
    from monitoring import run_failures

    run_failures.tell_watchdog(context)


with DAG(
    dag_id="monitoring_retention",
    description="Retention of raw rows, and of Airflow's metadata and logs",
    doc_md=DOCS,
    # the demo and tests trigger windows of their own: a scheduled run would be in their way
    schedule=None
    if os.environ.get("MONITORING_SCHEDULE") == "none"
    else CronDataIntervalTimetable("17 * * * *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    tags=["monitoring"],
    on_failure_callback=tell_watchdog,
    default_args={
        "owner": "monitoring",
        **dag_layout.placement("upkeep"),
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(minutes=15),
    },
    params={
        "raw_days": Param(
            7,
            type="integer",
            minimum=1,
            maximum=36500,
            title="Days to keep raw rows",
            description="Older requests and events are deleted; counts per minute stay.",
        ),
        "minute_days": Param(
            0,
            type="integer",
            minimum=0,
            maximum=36500,
            title="Days to keep what the analysis reads",
            description="Older counts per minute and container samples are deleted, and alerts "
            "that looked at them stay as they are for good; 0: never.",
        ),
        "table_days": Param(
            os.environ.get("MONITORING_RETENTION_DAYS", ""),
            type="string",
            title="Days to keep single tables",
            description="Where not as above: request_log=3, container_sample=90; 0: for ever. "
            "By default MONITORING_RETENTION_DAYS.",
        ),
        "metadata_days": Param(
            30,
            type="integer",
            minimum=1,
            maximum=36500,
            title="Days to keep Airflow's metadata and logs",
            description="Older runs, task instances, logs' records, XComs and log files are "
            "deleted.",
        ),
    },
) as dag:

    @task(doc_md="Make the partitions of the next days, on a server.")
    def keep_partitions(**context: Any) -> dict[str, Any]:
        from monitoring.dag_tasks import retention

        return retention.keep_partitions(context)

    @task(doc_md="Delete raw rows past their retention.")
    def purge_raw_rows(**context: Any) -> dict[str, Any]:
        from monitoring.dag_tasks import retention

        return retention.purge_raw_rows(context)

    @task(doc_md="Delete old rows of Airflow's own metadata database.")
    def clean_metadata(**context: Any) -> dict[str, Any]:
        from monitoring.dag_tasks import retention

        return retention.clean_metadata(context)

    @task(doc_md="Delete old log files of Airflow on this machine.")
    def clean_logs(**context: Any) -> dict[str, Any]:
        from monitoring.dag_tasks import retention

        return retention.clean_logs(context)

    keep_partitions()
    purge_raw_rows()
    clean_metadata()
    clean_logs()
