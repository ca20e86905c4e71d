"""The task that purges, run by ``dag.test()`` on MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from monitoring.evaluation import register_versions
from sqlalchemy import func, insert, select

from tests.dags.conftest import DagProcess, RunResult
from tests.monitoring.test_history import write_policies
from tests.servers.mariadb import MariaDbServer
from userdb.migrate import upgrade
from userdb.models import EventMinute
from userdb.partitions import read_partitions, start_of_day
from userdb.retention import read_floors
from userdb.store import Store, open_store
from userdb.times import to_minute

pytestmark = [pytest.mark.airflow, pytest.mark.mariadb]


@pytest.fixture
def old(mariadb_server: MariaDbServer, tmp_path: Path) -> Iterator[Store]:
    """Counts of each of the last ten days, and a policy that looks back 48 hours and some.

    In a database of its own: other tests count on tables without days.
    """
    store = open_store(mariadb_server.create_database("userdb_retention"))
    upgrade(store)
    now = datetime.now(UTC)
    minutes = [to_minute(now - timedelta(days=days, hours=1)) for days in range(10)]
    rows = [{"minute": minute, "series_id": 1, "events": 1} for minute in minutes]
    store.write(lambda connection: connection.execute(insert(EventMinute), rows))
    loaded = write_policies(tmp_path / "p", POLICY)
    register_versions(store, loaded, now=now, edits=True)
    yield store
    store.close()


POLICY = """
policies:
  - {name: quiet, signal: events.count, window: 5m, condition: "< 1"}
"""


def days_kept(store: Store) -> int:
    """How many of the ten rows there are; the row of n days ago is n days and an hour old."""
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(EventMinute)) or 0


def older_than(days: int, now: datetime) -> int:
    """How many of the ten rows lie in days that were over ``days`` days before ``now``."""
    midnight = start_of_day(now - timedelta(days=days))
    return sum(now - timedelta(days=age, hours=1) < midnight for age in range(10))


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
    assert (run.tasks["keep_partitions"], run.tasks["purge_raw_rows"]) == ("success", "success")
    # a day each for the rows of ten days, today, and a week ahead: where an hour ago was yesterday
    # there is one more
    assert run.xcoms["keep_partitions/return_value"]["made"]["event_minute"] in (17, 18)
    assert days_kept(old) == 10
    with old.read() as connection:
        assert read_floors(connection) == {}

    now = datetime.now(UTC)
    run = purged(dags, old, tmp_path, minute_days=9, table_days="event_minute=4, request_log=1")
    assert run.tasks["purge_raw_rows"] == "success"
    assert days_kept(old) == 10 - older_than(4, now)
    with old.read() as connection:
        floors = read_floors(connection)
        assert read_partitions(connection, "event_minute")[0].until > now - timedelta(days=4)
    assert floors["event"] == to_minute(start_of_day(now - timedelta(days=4)))
    assert floors["request"] == to_minute(start_of_day(now - timedelta(days=9)))

    # the policy needs two days, and a run after downtime one more: and some minutes
    kept = days_kept(old)
    run = purged(dags, old, tmp_path, minute_days=3)
    assert run.tasks["purge_raw_rows"] == "failed"
    assert "policy quiet looks back" in run.xcoms["purge_raw_rows/failure"]
    assert "keep them for 4 days at least" in run.xcoms["purge_raw_rows/failure"]
    assert days_kept(old) == kept
    # no policy looks at requests: these go
    with old.read() as connection:
        assert read_floors(connection)["request"] > floors["request"]
