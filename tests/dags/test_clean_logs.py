"""The task that deletes Airflow's log files, run by ``dag.test()``."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.dags.conftest import DagProcess, RunResult
from userdb.store import Store

pytestmark = pytest.mark.airflow


def test_the_folder_is_the_configured_one_and_the_age_a_param(
    dags: DagProcess, sqlite_store: Store, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for days in (2, 5, 40):
        log = logs / f"{days}.log"
        log.write_text("a line\n")
        then = time.time() - days * 86400 - 3600
        os.utime(log, (then, then))

    def run(folder: str, **conf: int) -> RunResult:
        environment = {
            "USERDB_URL": sqlite_store.url.url.render_as_string(hide_password=False),
            "MONITORING_HOME": str(tmp_path),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": folder,
        }
        return dags.run("monitoring_retention", environment=environment, conf=conf)

    first = run(str(logs))
    assert first.tasks["clean_logs"] == "success"
    deleted = first.xcoms["clean_logs/return_value"]["deleted"]
    assert deleted == {"files": 1, "folders": 0, "bytes": 7, "failed": 0}
    assert {log.name for log in logs.iterdir()} == {"2.log", "5.log"}
    assert run(str(logs), metadata_days=5).tasks["clean_logs"] == "success"
    assert [log.name for log in logs.iterdir()] == ["2.log"]

    failed = run("logs")
    assert failed.tasks["clean_logs"] == "failed"
    assert failed.xcoms["clean_logs/failure"] == (
        "[logging] base_log_folder = logs: no logs were deleted; make it an absolute path"
    )
    # what has nothing to do with it is done
    assert failed.tasks["purge_raw_rows"] == "success"
