"""The tasks of ``monitoring_retention``."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitoring.dag_tasks.run import MAX_CATCHUP, opened
from monitoring.run_failures import Context, failure_told

log = logging.getLogger(__name__)


def keep_partitions(context: Context) -> dict[str, Any]:
    """Make the partitions of the next days, on a server."""
    now = datetime.now(UTC)
    with failure_told(context), opened(context) as store:
        from userdb import partitions

        return {"made": partitions.keep_partitions(store, now=now)}


def purge_raw_rows(context: Context) -> dict[str, Any]:
    """Delete raw rows older than the param ``raw_days``, and, unless it is 0, what the analysis
    reads from before ``minute_days`` ago; the param ``table_days`` has tables' own days.

    Raises:
        AirflowFailException: a policy looks back further than the days of a table. All others are
            purged all the same.
        MonitoringError: a table could not be purged now; told after all others have been.
    """
    now = datetime.now(UTC)
    params = context["params"]
    with failure_told(context), opened(context) as store:
        from monitoring.retention import parse_days, purge_expired
        from userdb.retention import MINUTE_TABLES, RAW_TABLES

        days = dict.fromkeys(RAW_TABLES, params["raw_days"])
        days |= dict.fromkeys(MINUTE_TABLES, params["minute_days"])
        days |= parse_days(params["table_days"])
        deleted, errors = purge_expired(store, days, now=now, late=MAX_CATCHUP)
        log.info("deleted: %s", deleted)
        if errors:
            raise type(errors[0])("; ".join(map(str, errors)))
        return {"deleted": deleted}


def clean_metadata(context: Context) -> dict[str, Any]:
    """Delete what Airflow's metadata database holds from before ``metadata_days`` ago."""
    now = datetime.now(UTC)
    before = now - timedelta(days=context["params"]["metadata_days"])
    with failure_told(context):
        from monitoring.airflow_metadata import clean_in_subprocess

        clean_in_subprocess(
            before=before, dag_id=context["dag"].dag_id, run_id=str(context["run_id"])
        )
    return {"before": before.isoformat()}


def clean_logs(context: Context) -> dict[str, Any]:
    """Delete this machine's log files of Airflow to which nobody wrote for ``metadata_days``.

    Raises:
        AirflowFailException: base_log_folder is no folder of logs, or nothing could be deleted.
    """
    now = datetime.now(UTC)
    keep = timedelta(days=context["params"]["metadata_days"])
    with failure_told(context):
        from airflow.sdk import conf

        from monitoring.airflow_logs import delete_old_logs

        deleted = delete_old_logs(
            Path(conf.get("logging", "base_log_folder")),
            keep=keep,
            now=now,
            home=Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser(),
        )
    return {"before": (now - keep).isoformat(), "deleted": asdict(deleted)}
