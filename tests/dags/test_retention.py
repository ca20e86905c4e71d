"""The task that purges, run by ``dag.test()`` on MariaDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from monitoring.evaluation import register_versions
from sqlalchemy import func, insert, select

from tests.dags.conftest import DagProcess, RunResult
from tests.monitoring.test_history import write_policies
from userdb.models import EventMinute
from userdb.retention import read_floors
from userdb.store import Store
from userdb.times import to_minute

pytestmark = [pytest.mark.airflow, pytest.mark.mariadb]


@pytest.fixture
def old(mariadb_store: Store, tmp_path: Path) -> Store:
    """Counts of each of the last ten days, and a policy that looks back 48 hours and some."""
    now = datetime.now(UTC)
    minutes = [to_minute(now - timedelta(days=days, hours=1)) for days in range(10)]
    rows = [{"minute": minute, "series_id": 1, "events": 1} for minute in minutes]
    mariadb_store.write(lambda connection: connection.execute(insert(EventMinute), rows))
    loaded = write_policies(tmp_path / "p", POLICY)
    register_versions(mariadb_store, loaded, now=now, edits=True)
    return mariadb_store


POLICY = """
policies:
  - {name: quiet, signal: events.count, window: 5m, condition: "< 1"}
"""


def days_kept(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(EventMinute)) or 0


def purged(dags: DagProcess, store: Store, tmp_path: Path, **conf: Any) -> RunResult:
    environment = {
        "USERDB_URL": store.url.url.render_as_string(hide_password=False),
        "MONITORING_HOME": str(tmp_path),
    }
    return dags.run("monitoring_retention", environment=environment, conf=conf)


def test_what_the_analysis_reads_is_kept_unless_it_is_said_how_long(
    dags: DagProcess, old: Store, tmp_path: Path
) -> None:
    run = purged(dags, old, tmp_path)
    assert run.tasks["purge_raw_rows"] == "success"
    assert days_kept(old) == 10
    with old.read() as connection:
        assert read_floors(connection) == {}

    run = purged(dags, old, tmp_path, minute_days=4)
    assert run.tasks["purge_raw_rows"] == "success"
    assert run.xcoms["purge_raw_rows/return_value"]["deleted"]["event_minute"] == 6
    assert days_kept(old) == 4

    # the policy needs two days, and a run after downtime one more: and some minutes
    run = purged(dags, old, tmp_path, minute_days=3)
    assert run.tasks["purge_raw_rows"] == "failed"
    assert "policy quiet looks back" in run.xcoms["purge_raw_rows/failure"]
    assert "keep them for 4 days at least" in run.xcoms["purge_raw_rows/failure"]
    assert days_kept(old) == 4
