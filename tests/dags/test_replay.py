"""The DAG that recomputes history, run by ``dag.test()`` on real files and MariaDB."""

from __future__ import annotations

import pytest

from tests.dags.conftest import DagProcess
from tests.dags.test_chain import (  # noqa: F401  # fixtures
    RunChain,
    history,
    incident,
    run_chain,
)
from tests.incident import Incident
from userdb.models import Alert, AlertTransition, Evaluation, PolicyScore
from userdb.store import Store

pytestmark = [pytest.mark.airflow, pytest.mark.mariadb]


def test_a_replay_gives_the_history_of_the_chain(
    run_chain: RunChain,  # noqa: F811
    dags: DagProcess,
    incident: Incident,  # noqa: F811
    mariadb_store: Store,
) -> None:
    assert run_chain(incident.window(0, 60)).state == "success"
    live = history(mariadb_store)
    assert {state for _, state in live} == {"pending", "firing", "resolved"}
    mariadb_store.write(_forget_the_analysis)

    url = mariadb_store.url.url.render_as_string(hide_password=False)
    environment = incident.environment(url)
    conf = {**incident.window(0, 60), "notify": "no"}
    run = dags.run("monitoring_replay", environment=environment, conf=conf, logical_date=None)
    assert run.state == "success"
    assert history(mariadb_store) == live
    assert run.xcoms["analyse/return_value"]["episodes"]["added"] >= 1

    again = dags.run(
        "monitoring_replay",
        environment=environment,
        conf={**conf, "collect": False},
        logical_date=None,
    )
    assert again.state == "success"
    assert again.tasks["collect"] == "skipped"
    assert again.xcoms["analyse/return_value"]["episodes"] == {}
    assert history(mariadb_store) == live


def test_a_replay_without_a_range_is_refused(
    dags: DagProcess,
    incident: Incident,  # noqa: F811
    mariadb_store: Store,
) -> None:
    url = mariadb_store.url.url.render_as_string(hide_password=False)
    run = dags.run(
        "monitoring_replay", environment=incident.environment(url), conf={}, logical_date=None
    )
    assert run.state == "failed"
    assert "needs window_start and window_end" in run.xcoms["days/failure"]


def _forget_the_analysis(connection) -> None:
    for table in (Alert, AlertTransition, Evaluation, PolicyScore):
        connection.execute(table.__table__.delete())
