"""The upkeep DAG in a real Airflow: its tasks reach userdb and Airflow's own database."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from demo.airflow_api import AirflowApiError
from tests.e2e.conftest import DAG, Platform

# a busy machine starts a task in seconds, not in tenths of one
pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(900)]

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
    run = platform.finished(platform.trigger({}, UPKEEP), UPKEEP)
    assert set(run["tasks"].values()) == {"success"}, run
    assert platform.server.api.get(f"/dags/{DAG}/dagRuns/{new}")["dag_run_id"] == new
    with pytest.raises(AirflowApiError) as refused:
        platform.server.api.get(f"/dags/{DAG}/dagRuns/{old}")
    assert refused.value.status == 404
