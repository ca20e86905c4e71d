"""The chain in a real Airflow, driven over its REST API: trigger, wait, read, be told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import BY_CLI, BY_HAND, BY_REST, DAG, RECENT, Platform

# a busy machine starts a task in seconds, not in tenths of one
pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(900)]


def told(platform: Platform, since: Any) -> list[str]:
    """The statuses that the receiver was told of alerts that began at or after ``since``."""
    return [
        alert["status"]
        for body in platform.receiver.bodies("/webhook")
        for alert in body["alerts"]
        if alert["startsAt"] >= since.strftime("%Y-%m-%dT%H:%M:%S")
    ]


def backfill_runs(platform: Platform, start: int) -> list[dict[str, Any]]:
    runs = platform.server.api.get(f"/dags/{DAG}/dagRuns", run_type="backfill", limit=100)
    low, high = platform.incident.at(start), platform.incident.at(start + 60)
    return [
        run
        for run in runs["dag_runs"]
        if low.isoformat() <= run["logical_date"].replace("Z", "+00:00") < high.isoformat()
    ]


def wait_for_backfill(platform: Platform, start: int, runs: int) -> list[dict[str, Any]]:
    def ended() -> bool:
        found = backfill_runs(platform, start)
        return len(found) == runs and all(run["state"] in ("success", "failed") for run in found)

    platform.wait(ended, f"{runs} backfill runs to end", timeout=400)
    platform.backfills_ended()
    return backfill_runs(platform, start)


def test_run_by_hand_gives_the_alert(platform: Platform) -> None:
    incident = platform.incident
    run_id = platform.trigger(incident.window(BY_HAND, BY_HAND + 60))
    run = platform.finished(run_id)
    assert run["state"] == "success", run
    assert run["tasks"].pop("watcher") == "skipped"
    assert set(run["tasks"].values()) == {"success"}
    found = platform.history(incident.at(BY_HAND), incident.at(BY_HAND + 60))
    assert found == incident.expected(BY_HAND)
    rows = platform.server.api.get(
        "//monitoring/api/v1/collections", collector="request_logs", status="ok", limit=5000
    )
    assert run_id in {row["run_id"] for row in rows}


def test_webhook_is_told_firing_and_then_resolved(platform: Platform) -> None:
    incident = platform.incident
    start = incident.starts[-1]
    assert incident.at(start + RECENT) > incident.at(start)
    for first, stop in ((0, 21), (21, RECENT)):
        run = platform.finished(platform.trigger(incident.window(start + first, start + stop)))
        assert run["state"] == "success", run
    assert platform.history(incident.at(start), incident.at(start + RECENT)) == incident.expected(
        start
    )
    platform.wait(
        lambda: told(platform, incident.at(start)) == ["firing", "resolved"],
        f"firing, then resolved; told: {told(platform, incident.at(start))}",
        timeout=30,
    )
    body = platform.receiver.bodies("/webhook")[-1]
    assert body["version"] == "4"
    assert body["alerts"][0]["labels"]["alertname"] == "timeouts"
    deliveries = platform.server.api.get("//monitoring/api/v1/status")
    assert (deliveries["pending_deliveries"], deliveries["dead_deliveries"]) == (0, 0)


def test_backfill_over_rest_gives_what_live_runs_give_and_tells_nobody(platform: Platform) -> None:
    incident = platform.incident
    before = len(platform.receiver.bodies("/webhook"))
    platform.server.api.post(
        "/backfills",
        {
            "dag_id": DAG,
            "from_date": incident.at(BY_REST + 5).isoformat(),
            "to_date": incident.at(BY_REST + 20).isoformat(),
            "max_active_runs": 4,
        },
    )
    runs = wait_for_backfill(platform, BY_REST, 4)
    assert {run["state"] for run in runs} == {"success"}
    found = platform.history(incident.at(BY_REST), incident.at(BY_REST + 60))
    assert found == incident.expected(BY_REST)
    for run in runs:
        path = f"/dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances/analysis.notify"
        assert platform.server.api.get(path)["state"] == "skipped"
    new = platform.receiver.bodies("/webhook")[before:]
    old = incident.at(BY_REST).strftime("%Y-%m-%dT%H:%M")
    assert [one for body in new for one in body["alerts"] if one["startsAt"].startswith(old)] == []


def test_backwards_backfill_by_command_gives_the_same_and_notifies_if_asked(
    platform: Platform,
) -> None:
    incident = platform.incident
    # a DAG has one backfill at a time, and the scheduler closes it some time after its last run
    platform.wait(
        lambda: all(
            one["completed_at"]
            for one in platform.server.api.get("/backfills", dag_id=DAG)["backfills"]
        ),
        "the other backfill to be closed",
    )
    platform.server.cli(
        "backfill",
        "create",
        "--dag-id",
        DAG,
        "--from-date",
        incident.at(BY_CLI + 5).isoformat(),
        "--to-date",
        incident.at(BY_CLI + 20).isoformat(),
        "--run-backwards",
        "--dag-run-conf",
        '{"notify": "yes"}',
    )
    runs = wait_for_backfill(platform, BY_CLI, 4)
    assert {run["state"] for run in runs} == {"success"}
    found = platform.history(incident.at(BY_CLI), incident.at(BY_CLI + 60))
    assert found == incident.expected(BY_CLI)
    for run in runs:
        path = f"/dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances/analysis.notify"
        assert platform.server.api.get(path)["state"] == "success"
    # asked or not: an incident that ended hours ago is no news
    assert "firing" not in told_between(platform, BY_CLI)


def told_between(platform: Platform, start: int) -> list[str]:
    low, high = (
        platform.incident.at(minute).strftime("%Y-%m-%dT%H:%M") for minute in (start, start + 60)
    )
    return [
        alert["status"]
        for body in platform.receiver.bodies("/webhook")
        for alert in body["alerts"]
        if low <= alert["startsAt"] < high
    ]


def test_same_windows_again_change_nothing(platform: Platform) -> None:
    incident = platform.incident
    window = incident.window(BY_REST, BY_REST + 30)
    for _ in range(2):
        run = platform.finished(platform.trigger({**window, "notify": "no"}))
        assert run["state"] == "success", run
        assert run["tasks"]["analysis.notify"] == "skipped"
        told = str(run["dag_run_id"])
        platform.wait(lambda told=told: told in beats(platform, "/heartbeat"), "the heartbeat")
    found = platform.history(incident.at(BY_REST), incident.at(BY_REST + 60))
    assert found == incident.expected(BY_REST)


def beats(platform: Platform, path: str) -> str:
    """What the heartbeat's service was told."""
    return str(platform.receiver.bodies(path))


def test_failed_run_says_why_and_tells_the_watchdog(platform: Platform) -> None:
    start = platform.incident.at(0).isoformat()
    run_id = platform.trigger({"window_start": start})
    run = platform.finished(run_id)
    assert run["state"] == "failed"
    assert run["tasks"]["watcher"] == "failed"
    log = platform.log_of(run_id, "watcher")
    # it doesn't wait for the others: it names those that have failed when it runs
    assert "of the run's tasks failed: collect." in log
    assert "give both or neither" in log

    def reasons() -> list[dict[str, Any]]:
        bodies = platform.receiver.bodies("/watchdog")
        return [body for body in bodies if run_id in str(body)]

    platform.wait(lambda: bool(reasons()), "the watchdog to be told")
    (told_once,) = reasons()
    assert told_once["what"] == DAG
    assert set(told_once["reasons"]) >= {"collect.request_logs", "analysis.score_policies"}
    assert "give both or neither" in told_once["reasons"]["collect.request_logs"]
    platform.wait(lambda: run_id in beats(platform, "/heartbeat/fail"), "the heartbeat's fail")
    assert run_id not in beats(platform, "/heartbeat")
