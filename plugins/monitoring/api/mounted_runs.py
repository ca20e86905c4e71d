"""Runs of the chain's DAG in the Airflow that the API is mounted in: needs no credentials."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.exceptions import DagRunAlreadyExists
from airflow.models import DagRun
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import select

from monitoring.intake.airflow_runs import DAG, ChainRuns, RestRuns, Run


class MountedRuns:
    """Sees and triggers runs in the API server's own process."""

    def newest(self, prefix: str) -> Run | None:
        query = (
            select(DagRun.run_id, DagRun.state)
            .where(DagRun.dag_id == DAG, DagRun.run_id.startswith(prefix, autoescape=True))
            .order_by(DagRun.id.desc())
            .limit(1)
        )
        with create_session() as session:
            row = session.execute(query).first()
        return None if row is None else Run(row.run_id, row.state in ("queued", "running"))

    def trigger(self, run_id: str, conf: Mapping[str, Any], run_after: datetime) -> bool:
        try:
            trigger_dag(
                DAG,
                triggered_by=DagRunTriggeredByType.REST_API,
                triggering_user_name="monitoring",
                run_id=run_id,
                run_after=run_after,
                conf=dict(conf),
            )
        except DagRunAlreadyExists:
            return False
        return True


def mounted_runs() -> ChainRuns:
    """Where this API server triggers runs: in the Airflow of the settings, else in its own.

    Raises:
        ConfigError: the settings are not valid.
    """
    return RestRuns.from_environment() or MountedRuns()
