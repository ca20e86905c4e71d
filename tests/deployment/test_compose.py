"""The whole of docker-compose.yml, built and started on a real engine. Takes about half an hour.

No image can be pulled here, so its base images are stand-ins (tests/deployment/standins); what
that doesn't prove is in docs/compose.md. The tests of this module are steps on one deployment, in
their order.

``MONITORING_TEST_IMAGES`` names a folder where the engine keeps its images for the next time.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from monitoring.signals import COLLECTORS

from tests.deployment.images import ROOT
from tests.deployment.project import PROFILES, Project, token, wait_for

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.docker,
    pytest.mark.compose,
    pytest.mark.curl,
    pytest.mark.timeout(3600),
]

_AIRFLOW, _INGEST, _GATEWAY = (f"http://127.0.0.1:{port}" for port in (8080, 8790, 8081))
_ANALYSIS = ("score_policies", "update_alerts", "notify")


def _unwell(project: Project) -> dict[str, str]:
    # those of the demo fail, or were stopped, as they should
    return {
        name: state
        for name, state in project.states().items()
        if state not in ("healthy", "running", "exited 0") and not name.startswith("demo-")
    }


def _wait_until_healthy(project: Project) -> None:
    try:
        wait_for(lambda: not _unwell(project), "healthy", seconds=300)
    except AssertionError as error:
        raise AssertionError(f"{error}: {_unwell(project)}\n{project.logs()}") from None


def test_everything_becomes_healthy(project: Project) -> None:
    _wait_until_healthy(project)
    states = project.states()
    assert states["init-1"] == "exited 0"
    checked = {name for name, state in states.items() if state == "healthy"}
    assert checked >= {
        *("userdb-1", "metadata-1", "redis-1", "api-server-1", "scheduler-1", "dag-processor-1"),
        *("triggerer-1", "worker-1", "worker-2", "ingest-1", "docker-proxy-1", "gateway-1"),
        "prometheus-1",
    }


def test_no_secret_is_in_what_inspect_prints(project: Project) -> None:
    ids = project.engine.docker("ps", "--all", "--quiet").split()
    printed = project.engine.docker("inspect", *ids)
    secrets = project.secrets()
    assert len(secrets) >= 12
    hook = secrets.pop("webhook_url")
    assert [name for name, text in {**secrets, "hook": hook}.items() if text in printed] == []
    secrets["prometheus_key"] = project.run_in("prometheus", "cat", "/run/prometheus-key/key")
    assert secrets["prometheus_key"] not in printed
    seen = project.compose(*PROFILES, "logs", "--no-color")
    assert [name for name, text in secrets.items() if text in seen] == []


def test_the_docker_socket_is_read_through_the_proxy_only(project: Project) -> None:
    code = (
        "import sys, http.client as h; c = h.HTTPConnection('docker-proxy', 2375, timeout=20);"
        "c.request(sys.argv[1], sys.argv[2]); print(c.getresponse().status)"
    )
    crash = project.containers("demo-crash")[0]

    def ask(method: str, path: str) -> int:
        return int(project.run_in("worker", "python", "-c", code, method, path))

    assert ask("GET", "/v1.41/containers/json?all=1") == 200
    assert ask("GET", f"/containers/{crash}/json") == 200
    for method, path in (
        ("POST", f"/v1.41/containers/{crash}/stop"),
        ("DELETE", f"/containers/{crash}"),
        ("GET", f"/containers/{crash}/archive?path=/"),
        ("GET", "/images/json"),
        ("GET", "/containers/../images/json"),
        ("GET", "/secrets"),
    ):
        assert ask(method, path) == 403, path
    mounts = json.loads(
        project.engine.docker("inspect", *project.engine.docker("ps", "-q").split())
    )
    sees = {
        one["Config"]["Labels"].get("com.docker.compose.service")
        for one in mounts
        if any("docker.sock" in mount["Source"] for mount in one["Mounts"])
    }
    assert sees == {"docker-proxy"}


def test_people_log_in_with_real_accounts_and_roles(project: Project) -> None:
    refused, _ = project.request(
        "POST", f"{_AIRFLOW}/auth/token", {"username": "admin", "password": "admin"}
    )
    assert refused == 401
    admin = token(project, "admin", project.secrets()["admin_password"])
    assert project.request("GET", f"{_AIRFLOW}/api/v2/connections/userdb", token=admin)[0] == 200
    # as docs/compose.md says
    project.run_in(
        *("api-server", "airflow", "users", "create", "--username", "ann", "--firstname", "Ann"),
        *("--lastname", "Lee", "--email", "ann@example.com", "--role", "Viewer"),
        *("--password", "a-long-password"),
    )
    ann = token(project, "ann", "a-long-password")
    alerts = f"{_AIRFLOW}/monitoring/api/v1/alerts"
    assert project.request("GET", alerts, token=ann)[0] == 200
    silence = {"matchers": ["service=x"], "comment": "no", "for": "1h"}
    silences = f"{_AIRFLOW}/monitoring/api/v1/silences"
    assert project.request("POST", silences, silence, token=ann)[0] == 403
    assert project.request("GET", alerts)[0] == 401


def test_a_request_through_the_gateway_becomes_a_row(project: Project) -> None:
    wait_for(lambda: project.request("GET", f"{_GATEWAY}/shop/")[0] == 200, "a route", seconds=120)
    assert project.request("GET", f"{_GATEWAY}/nowhere")[0] == 404
    rows = wait_for(
        lambda: project.query(
            "SELECT DISTINCT service, route FROM request_log WHERE path = '/shop/'"
        ),
        "rows of a scheduled run",
        seconds=600,
    )
    assert rows == [["demo-shop", "demo-shop"]]


def test_the_chains_tasks_run_in_the_pools_that_init_made(project: Project) -> None:
    file = json.loads((ROOT / "deploy" / "pools.json").read_text())
    slots = {name: pool["slots"] for name, pool in file.items()}
    assert project.pools().items() >= slots.items()
    wanted = {
        "monitoring_chain": {
            *((f"collect.{name}", "monitoring_collect") for name in COLLECTORS),
            *((f"analysis.{name}", "monitoring_analysis") for name in _ANALYSIS),
        },
        "monitoring_upkeep": {
            (name, "monitoring_upkeep") for name in ("notify", "registry", "watch")
        },
    }
    admin = token(project, "admin", project.secrets()["admin_password"])

    def ran(dag: str) -> set[tuple[str, str]]:
        url = f"{_AIRFLOW}/api/v2/dags/{dag}/dagRuns/~/taskInstances"
        url += "?state=success&limit=100&order_by=-start_date"
        answer = json.loads(project.request("GET", url, token=admin)[1])
        return {(one["task_id"], one["pool"]) for one in answer["task_instances"]}

    def all_ran() -> bool:
        return all(ran(dag) >= tasks for dag, tasks in wanted.items())

    wait_for(all_ran, f"tasks in {wanted}", seconds=400)
    for dag, tasks in wanted.items():
        assert ran(dag) <= tasks


def test_prometheus_scrapes_the_chain(project: Project) -> None:
    (up,) = wait_for(lambda: project.prometheus('up{job="monitoring"}'), "a scrape", seconds=90)
    assert up["metric"]["instance"] == "ingest:8790"
    assert up["value"][1] == "1"
    newest = "monitoring_collector_last_success_timestamp_seconds"
    found = wait_for(
        lambda: project.prometheus(f'{newest}{{collector="request_logs"}} > 0'),
        "a window that was collected completely",
        # the gateway began in the middle of the first window: not before the second one
        seconds=600,
    )
    assert abs(float(found[0]["value"][1]) - time.time()) < 1800


def test_an_incident_becomes_an_alert_and_a_web_hook_is_told(project: Project) -> None:
    key = project.run_in(
        "ingest", "monitoring", "key", "create", "test", "--scope", "events:write"
    ).strip()
    event = {
        "event_type": "gateway",
        "level": "critical",
        "source": "test",
        "service": "billing",
        "message": "the ledger is lost",
        "exception_type": "LedgerLost",
    }
    status, text = project.request("POST", f"{_INGEST}/api/v1/events", event, token=key)
    assert status in (200, 201, 202), text
    told = wait_for(
        lambda: [
            json.loads(line)
            for line in project.engine.docker("logs", "hook").splitlines()
            if "critical-exception" in line
        ],
        "told",
        seconds=600,
    )
    assert told[0]["status"] == "firing"
    assert told[0]["alerts"][0]["labels"]["service"] == "billing"
    listed = json.loads(
        project.run_in("worker", "monitoring", "alerts", "list", "--format", "json")
    )
    assert "critical-exception" in {one["policy"] for one in listed}


def test_the_demos_containers_are_seen_to_fail(project: Project) -> None:
    def seen() -> set[str]:
        rows = project.query(
            "SELECT DISTINCT JSON_VALUE(labels, '$.container') FROM container_sample "
            "JOIN series ON series.id = container_sample.series_id"
        )
        return {row[0] for row in rows}

    wait_for(lambda: len({name for name in seen() if "demo-" in name}) >= 5, "samples", seconds=600)


def test_a_worker_killed_in_mid_run_is_made_up_for(project: Project) -> None:
    admin = token(project, "admin", project.secrets()["admin_password"])
    runs = f"{_AIRFLOW}/api/v2/dags/monitoring_chain/dagRuns"
    end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    window = {
        "window_start": (end - timedelta(minutes=3)).isoformat(),
        "window_end": end.isoformat(),
    }
    run = {"dag_run_id": "killed", "logical_date": None, "conf": window}
    assert project.request("POST", runs, run, token=admin)[0] == 200

    def state(url: str) -> str:
        return str(json.loads(project.request("GET", url, token=admin)[1])["state"])

    def a_task_runs() -> bool:
        answer = project.request("GET", f"{runs}/killed/taskInstances", token=admin)[1]
        return any(one["state"] == "running" for one in json.loads(answer)["task_instances"])

    wait_for(a_task_runs, "a task that runs", seconds=300)
    inspected = json.loads(project.engine.docker("inspect", *project.containers("worker")))
    for worker in inspected:
        # all that is in the container ends with its first process
        os.kill(worker["State"]["Pid"], signal.SIGKILL)
    wait_for(lambda: state(f"{runs}/killed") in ("success", "failed"), "an end", seconds=900)
    assert state(f"{runs}/killed") == "success"
    restarted = json.loads(project.engine.docker("inspect", *project.containers("worker")))
    assert [one["RestartCount"] for one in restarted] == [1, 1]
    _wait_until_healthy(project)


def test_down_and_up_again_loses_nothing(project: Project) -> None:
    kept = (
        "SELECT 'alert', COUNT(*) FROM alert"
        " UNION SELECT 'key', COUNT(*) FROM api_key UNION SELECT 'route', COUNT(*) FROM route"
        " UNION SELECT 'event', COUNT(*) FROM monitor_event WHERE service = 'billing'"
    )
    project.compose("stop", "scheduler", "demo-setup", "demo-shop")
    before = {name: int(count) for name, count in project.query(kept)}
    assert min(before.values()) > 0
    slots = {"monitoring_collect": 3}
    project.run_in("api-server", *("airflow", "pools", "set", "monitoring_collect", "3", "fewer"))
    scraped = time.time()
    up = 'max_over_time(up{job="monitoring"}[2m])'
    assert project.prometheus(up, scraped)[0]["value"][1] == "1"
    project.engine.docker("rm", "--force", "hook")
    project.compose(*PROFILES, "stop")
    # at its end, and not killed after its time
    assert {project.states()[f"worker-{number}"] for number in (1, 2)} == {"exited 0"}
    project.compose(*PROFILES, "down")
    assert project.states() == {}
    project.compose("up", "-d", timeout_s=1200)
    project.compose("up", "-d", "--no-deps", "prometheus")
    _wait_until_healthy(project)
    after = {name: int(count) for name, count in project.query(kept)}
    assert [name for name, count in before.items() if after[name] < count] == []
    assert project.pools().items() >= slots.items()
    assert project.prometheus(up, scraped)[0]["value"][1] == "1"
    token(project, "ann", "a-long-password")
    assert project.request("GET", f"{_GATEWAY}/ping")[0] == 404


def test_the_pages_commands_work(project: Project) -> None:
    page = (ROOT / "docs" / "compose.md").read_text()
    commands = [
        line
        for block in re.findall(r"```sh\n(.+?)```", page, re.S)
        for line in block.splitlines()
        # the image is built by the fixture, as here is no network
        if line != "docker-compose build"
    ]
    assert len(commands) >= 12
    for command in commands:
        project.shell(command, timeout_s=1200)
    _wait_until_healthy(project)
    assert len(project.containers("worker")) == 3
    token(project, "bob", "a-long-password")


def test_the_access_log_is_rotated_under_the_gateway(project: Project) -> None:
    def log(name: str) -> str:
        return project.run_in("gateway", "cat", f"/var/log/gateway/{name}")

    # curl asks for each of them; together they are larger than the limit
    many = f"{_GATEWAY}/before?[1-300]{'x' * 4000}"
    project.request("GET", many)

    def logs_again() -> bool:
        # what comes before the gateway got the signal is still in the old file
        project.request("GET", f"{_GATEWAY}/after")
        now = log("access.log")
        return "/after" in now and "/before" not in now

    wait_for(logs_again, "a log that was opened anew", seconds=60)
    assert "/before" in log("access.log.1")


def test_init_refuses_a_newer_schema_and_secrets_that_are_missing(project: Project) -> None:
    project.query("UPDATE userdb_version SET version_num = '9999'")
    said = project.compose("run", "--rm", "init", check=False)
    assert re.search("9999.*newer version", said), said
    secret = project.folder / "secrets" / "fernet_key"
    secret.unlink()
    secret.write_text("")
    secret.chmod(0o444)
    said = project.compose("run", "--rm", "init", check=False)
    assert "refusing to start" in said
    assert "fernet_key is empty" in said
    assert "deploy/make-secrets" in said
