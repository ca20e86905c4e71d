"""The whole chain with ``dag.test()``, on real log files and a real MariaDB."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from monitoring.alerts.read import alert_history
from monitoring.alerts.search import list_alerts
from monitoring.collection_log import list_collections
from monitoring.status import read_status

from tests.dags.conftest import DagProcess, RunResult
from tests.incident import Incident, whole_hours_ago
from userdb.store import Store

pytestmark = [pytest.mark.airflow, pytest.mark.mariadb]

CHAIN = "monitoring_chain"
START = "2026-01-01T10:00:00Z"
COLLECTORS = ["collect.gateway_exceptions", "collect.request_logs", "collect.container_stats"]
ANALYSIS = ["analysis.score_policies", "analysis.update_alerts", "analysis.notify"]


RunChain = Callable[..., RunResult]


@pytest.fixture
def incident(tmp_path: Path) -> Incident:
    written = Incident(tmp_path, whole_hours_ago(6))
    written.write()
    return written


@pytest.fixture
def run_chain(dags: DagProcess, incident: Incident, mariadb_store: Store) -> RunChain:
    """Runs the whole DAG with a conf."""
    url = mariadb_store.url.url.render_as_string(hide_password=False)

    def run(
        conf: Mapping[str, str], logical_date: datetime | None = None, **environment: str
    ) -> RunResult:
        at = logical_date.isoformat() if logical_date else None
        own = {**incident.environment(url), **environment}
        return dags.run(CHAIN, environment=own, conf=conf, logical_date=at)

    return run


def history(store: Store) -> list[tuple[datetime, str]]:
    with store.read() as connection:
        return [(row.at, row.to_state) for row in alert_history(connection)]


def states(run: RunResult, *tasks: str) -> set[str]:
    return {run.tasks[task] for task in tasks}


def test_whole_chain(run_chain: RunChain, incident: Incident, mariadb_store: Store) -> None:
    run = run_chain(incident.window(0, 60))
    assert run.state == "success"
    assert states(run, *COLLECTORS, *ANALYSIS) == {"success"}
    assert run.tasks["watcher"] == "skipped"
    assert run.xcoms["collect.request_logs/return_value"]["rows"] == 60 * 20
    assert history(mariadb_store) == incident.expected()
    with mariadb_store.read() as connection:
        (alert,) = list_alerts(connection)
        ledger = list_collections(connection, collector="request_logs")
    assert alert.labels["source"] == "gateway"
    assert "50" in alert.annotations["summary"]
    assert {row.run_id for row in ledger} == {run.run_id}
    status = read_status(mariadb_store, now=incident.at(61), collectors=["request_logs"])
    assert status.collectors[0].last_ok is not None
    assert status.collectors[0].last_ok.end == incident.at(60)


def test_windows_out_of_order_and_twice_give_the_same_history(
    run_chain: RunChain, incident: Incident, mariadb_store: Store
) -> None:
    for first, stop in ((20, 30), (0, 10), (10, 20), (5, 25)):
        assert run_chain(incident.window(first, stop)).state == "success"
    assert history(mariadb_store) == incident.expected()


def test_failed_collector_fails_the_run_and_stops_nobody(
    run_chain: RunChain, incident: Incident, mariadb_store: Store
) -> None:
    assert run_chain(incident.window(0, 30)).state == "success"
    incident.write_sources([str(incident.folder / "gone.log")])
    run = run_chain(incident.window(30, 40))
    assert run.state == "failed"
    assert run.tasks["collect.request_logs"] == "failed"
    assert states(run, "collect.gateway_exceptions", *ANALYSIS) == {"success"}
    assert run.tasks["watcher"] == "failed"
    why = run.xcoms["collect.request_logs/failure"]
    assert "gone.log" in why
    assert "watcher/return_value" not in run.xcoms
    # what was stored stays, and the window is unknown
    assert history(mariadb_store) == incident.expected()
    status = read_status(mariadb_store, now=incident.at(60), collectors=["request_logs"])
    assert status.collectors[0].missing[-1].start == incident.at(30)
    assert status.collectors[0].last_failure is not None


def test_wrong_policy_fails_the_run_and_silences_no_other(
    run_chain: RunChain, incident: Incident, mariadb_store: Store
) -> None:
    wrong = "policies:\n  - {name: odd, kind: threshold, signal: requests.odd, condition: '> 1'}\n"
    (incident.folder / "policies" / "wrong.yaml").write_text(wrong)
    run = run_chain(incident.window(0, 60))
    assert run.state == "failed"
    assert run.tasks["analysis.score_policies"] == "failed"
    assert "requests.odd" in run.xcoms["analysis.score_policies/failure"]
    assert states(run, *COLLECTORS, "analysis.update_alerts", "analysis.notify") == {"success"}
    assert history(mariadb_store) == incident.expected()


def test_a_receiver_that_cannot_be_told_fails_the_run_and_says_which(
    run_chain: RunChain, incident: Incident, mariadb_store: Store
) -> None:
    run = run_chain(incident.window(0, 60), MONITORING_RECEIVERS="nobody_knows")
    assert run.state == "failed"
    assert run.tasks["analysis.notify"] == "failed"
    assert "nobody_knows" in run.xcoms["analysis.notify/failure"]
    assert history(mariadb_store) == incident.expected()


def test_run_without_params_is_for_its_own_interval(
    run_chain: RunChain, incident: Incident
) -> None:
    run = run_chain({"notify": "no"}, incident.at(31))
    assert run.state == "success"
    window = run.xcoms["collect.request_logs/window"]
    assert [datetime.fromisoformat(bound) for bound in window] == [incident.at(25), incident.at(30)]
    assert run.tasks["analysis.notify"] == "skipped"


@pytest.mark.parametrize(
    ("conf", "why"),
    [
        ({"window_start": "2026-01-01T10:00:00Z"}, "give both or neither"),
        ({"window_start": "2026-01-01T10:05:00Z", "window_end": "2026-01-01T10:00:00Z"}, "empty"),
        (
            {"window_start": "2026-01-01T10:00:00Z", "window_end": "2999-01-01T10:00:00Z"},
            "after now",
        ),
    ],
)
def test_wrong_window_fails_at_once_and_says_why(
    run_chain: RunChain,
    mariadb_store: Store,
    conf: dict[str, str],
    why: str,
) -> None:
    run = run_chain(conf)
    assert run.state == "failed"
    for task in (*COLLECTORS, "analysis.score_policies"):
        assert why in run.xcoms[f"{task}/failure"]
    assert "up_for_retry" not in run.tasks.values()
    with mariadb_store.read() as connection:
        assert list_collections(connection) == []


def test_missing_schema_says_what_to_do(
    dags: DagProcess, incident: Incident, tmp_path: Path
) -> None:
    env = incident.environment(f"sqlite:///{tmp_path}/empty.sqlite")
    run = dags.run(CHAIN, environment=env, conf=incident.window(0, 5))
    assert run.state == "failed"
    assert "monitoring db upgrade" in run.xcoms["collect.request_logs/failure"]


def test_a_longer_backfill_is_one_run_too(
    run_chain: RunChain, incident: Incident, mariadb_store: Store
) -> None:
    window = {
        "window_start": incident.at(0).isoformat(),
        "window_end": (incident.at(0) + timedelta(hours=3)).isoformat(),
    }
    run = run_chain(window)
    assert run.state == "success"
    assert history(mariadb_store) == incident.expected()


def test_collectors_and_policies_in_many_tasks_give_the_same_and_one_failure_stops_no_other(
    run_chain: RunChain, incident: Incident, mariadb_store: Store
) -> None:
    path = incident.folder / "sources.yaml"
    settings = json.loads(path.read_text())
    (gateway,) = settings["request_logs"]["sources"]
    gone = {**gateway, "name": "gone", "paths": [f"{incident.folder}/gone.log"]}
    settings["request_logs"]["sources"] = [gone, gateway]
    path.write_text(json.dumps(settings))
    mapped = {"MONITORING_POLICIES_PER_TASK": "1"}
    more = "policies: [{name: other, signal: requests.count, condition: '< 0'}]"
    (incident.folder / "policies" / "more.yaml").write_text(more)
    run = run_chain(incident.window(0, 60), **mapped)
    assert run.state == "failed"
    assert states(run, "collect.request_logs[1]", *(f"{ANALYSIS[0]}[{n}]" for n in (0, 1))) == {
        "success"
    }
    assert "gone" in run.xcoms["collect.request_logs[0]/failure"]
    assert run.tasks["watcher"] == "failed"
    assert history(mariadb_store) == []
    Path(gone["paths"][0]).write_text(incident.log.read_text().replace('" 504 ', '" 200 '))
    run = run_chain(incident.window(0, 60), **mapped)
    assert run.state == "success"
    assert states(run, *(f"{task}[{n}]" for task in ANALYSIS[:2] for n in (0, 1))) == {"success"}
    assert history(mariadb_store) == incident.expected()
