"""The DAG that recomputes history, run by ``dag.test()`` on real files and MariaDB."""

from __future__ import annotations

import json

import pytest
from monitoring.collection_log import list_collections
from monitoring.signals import COLLECTORS
from sqlalchemy import text

from tests.dags.conftest import DagProcess, RunResult
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


def test_a_collector_that_fails_as_a_whole_stops_no_other_and_is_tried_again(
    dags: DagProcess,
    incident: Incident,  # noqa: F811
    sqlite_store: Store,
) -> None:
    path = incident.folder / "sources.yaml"
    settings = json.loads(path.read_text())
    (gateway,) = settings["request_logs"]["sources"]
    gone = {**gateway, "name": "gone", "paths": [f"{incident.folder}/gone.log"]}
    settings["request_logs"]["sources"] = [gone, gateway]
    path.write_text(json.dumps(settings))
    sqlite_store.write(lambda connection: connection.execute(text("DROP TABLE monitor_event")))
    run = _replayed_hour(dags, incident, sqlite_store)
    assert run.tasks["collect[0]"] == "failed"
    why = run.xcoms["collect[0]/failure"]
    assert why.startswith("the collector gateway_exceptions failed for")
    assert "; 1 of 2 sources of request_logs failed: gone: " in why
    tries = _ledger(sqlite_store)
    assert tries["gateway_exceptions"] == [("*", "failed")] * 3
    assert tries["request_logs"] == [("gateway", "ok"), ("gone", "failed")] * 3
    with sqlite_store.read() as connection:
        stored = text("SELECT SUM(requests) FROM request_minute")
        assert connection.scalar(stored) == 60 * 20


def test_settings_that_are_wrong_are_told_once_and_not_tried_again(
    dags: DagProcess,
    incident: Incident,  # noqa: F811
    sqlite_store: Store,
) -> None:
    (incident.folder / "sources.yaml").write_text("request_logs: {sauces: []}")
    run = _replayed_hour(dags, incident, sqlite_store)
    assert run.tasks["collect[0]"] == "failed"
    assert run.xcoms["collect[0]/failure"].count("sauces") == 1
    assert _ledger(sqlite_store) == {name: [("*", "failed")] for name in COLLECTORS}


def _replayed_hour(dags: DagProcess, incident: Incident, store: Store) -> RunResult:  # noqa: F811
    environment = incident.environment(str(store.engine.url))
    window = incident.window(0, 60)
    return dags.run("monitoring_replay", environment=environment, conf=window, logical_date=None)


def _ledger(store: Store) -> dict[str, list[tuple[str, str]]]:
    """Source and status of each row, by collector, newest first."""
    found: dict[str, list[tuple[str, str]]] = {}
    with store.read() as connection:
        for row in list_collections(connection):
            found.setdefault(row.collector, []).append((row.source, row.status))
    return found


def _forget_the_analysis(connection) -> None:
    for table in (Alert, AlertTransition, Evaluation, PolicyScore):
        connection.execute(table.__table__.delete())
