"""A critical event runs the chain of a real Airflow, mounted and over its REST API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from monitoring.intake.airflow_runs import RestRuns, Run
from monitoring.intake.urgent import PREFIX
from sqlalchemy import select

from demo.supervisor import USER
from tests.e2e.conftest import DAG, Platform
from userdb.models import MonitorEvent

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_critical_event_runs_the_chain_at_once_and_is_counted(platform: Platform) -> None:
    minute = (datetime.now(UTC) - timedelta(minutes=2)).replace(second=0, microsecond=0)
    event = {
        "event_id": "urgent-e2e",
        "level": "critical",
        "message": "all payments fail",
        "occurred_at": (minute + timedelta(seconds=7)).isoformat(),
    }
    answer = platform.server.api.post("//monitoring/api/v1/events", event)
    assert answer == {"stored": 1, "repeated": 0, "rejected": []}

    found: dict[str, Any] = {}

    def triggered() -> bool:
        query = {"run_id_prefix_pattern": PREFIX}
        runs = platform.server.api.get(f"/dags/{DAG}/dagRuns", **query)["dag_runs"]
        found.update({run["dag_run_id"]: run for run in runs})
        return bool(found)

    platform.wait(triggered, "an urgent run", timeout=60)
    ((run_id, run),) = found.items()
    end = datetime.fromisoformat(run["conf"]["window_end"])
    assert end == minute + timedelta(minutes=1)
    assert datetime.fromisoformat(run["conf"]["window_start"]) <= minute
    ended = platform.finished(run_id)
    assert ended["state"] == "success", ended
    with platform.store.read() as connection:
        counted = select(MonitorEvent.rolled_up).where(MonitorEvent.event_id == "urgent-e2e")
        assert connection.scalar(counted) is True

    rest = RestRuns(platform.server.url, USER, platform.server.password)
    assert rest.newest(PREFIX) == Run(run_id, active=False)
    assert rest.trigger(run_id, {}, datetime.now(UTC)) is False, "an id is taken once"
