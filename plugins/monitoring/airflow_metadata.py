"""Retention of Airflow's own metadata.

A task has no access to the metadata database: Airflow replaces the connection in the task's
environment. So the cleaning runs in a process of its own, which is given the connection again:
from MONITORING_METADATA_URL where that is set, else from airflow.cfg or Airflow's default. Before
it deletes anything it looks for the very DAG run that asked for it, so that it can't clean some
other database than the one that Airflow runs on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime

from userdb.errors import ConfigError, MonitoringError
from userdb.times import require_aware

#: Set it to the value of AIRFLOW__DATABASE__SQL_ALCHEMY_CONN where that is set.
METADATA_URL = "MONITORING_METADATA_URL"

_BLOCKED = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")
_WRONG_DATABASE = 3


class CleaningFailed(MonitoringError):
    """Airflow's metadata was not, or not all, cleaned."""


def environment(task_environment: Mapping[str, str]) -> dict[str, str]:
    """A task's environment with the metadata database's connection instead of Airflow's block."""
    env = {
        name: value
        for name, value in task_environment.items()
        if name not in _BLOCKED and name != "_AIRFLOW_PROCESS_CONTEXT"
    }
    url = task_environment.get(METADATA_URL, "").strip()
    if url:
        env[_BLOCKED[0]] = url
    return env


def clean_in_subprocess(*, before: datetime, dag_id: str, run_id: str) -> None:
    """Delete what the metadata database holds from before ``before``.

    Raises:
        ConfigError: the database that is configured isn't the one that has this DAG run.
        CleaningFailed: some tables were not cleaned; the output says which.
    """
    command = [sys.executable, "-m", __name__, require_aware(before).isoformat(), dag_id, run_id]
    done = subprocess.run(
        command,
        env=environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    sys.stdout.write(done.stdout)
    if done.returncode == _WRONG_DATABASE:
        raise ConfigError(
            "the metadata database that airflow.cfg names is not the one that this run is in, "
            f"and nothing was deleted; set {METADATA_URL} to the value of {_BLOCKED[0]}"
        )
    if done.returncode:
        last = done.stdout.strip().splitlines()[-1:] or ["no output"]
        raise CleaningFailed(f"cleaning Airflow's metadata failed: {last[0]}")


def clean(before: datetime, dag_id: str, run_id: str) -> int:
    """The process's main function; returns its exit code."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.db_cleanup import run_cleanup
    from airflow.utils.session import create_session
    from sqlalchemy import exists, select
    from sqlalchemy.exc import DBAPIError

    with create_session() as session:
        here = select(exists().where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        try:
            if not session.scalar(here):
                return _WRONG_DATABASE
        except DBAPIError as error:
            print(f"{type(error).__name__}: {error.orig}")  # noqa: T201  # the task's log
            return _WRONG_DATABASE
        run_cleanup(
            clean_before_timestamp=before,
            confirm=False,
            skip_archive=True,
            error_on_cleanup_failure=True,
            session=session,
        )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Delete old rows of Airflow's metadata.")
    parser.add_argument("before", type=datetime.fromisoformat)
    parser.add_argument("dag_id")
    parser.add_argument("run_id")
    given = parser.parse_args()
    sys.exit(clean(given.before, given.dag_id, given.run_id))
