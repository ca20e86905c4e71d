"""What runs every minute, by ``dag.test()``: retries, and the watchdog that outlives userdb."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from monitoring.registry.definition import Registration, ServiceSettings
from monitoring.registry.registration import register
from monitoring.registry.services import set_service

from tests.dags.conftest import DagProcess
from tests.notify.episodes import add_policy
from tests.notify.hooks import listening
from userdb.store import Store

pytestmark = pytest.mark.airflow


def test_a_stale_policy_is_told_and_an_expired_instance_deregistered(
    dags: DagProcess, sqlite_store: Store, tmp_path: Path
) -> None:
    add_policy(sqlite_store)
    long_ago = datetime(2026, 3, 2, tzinfo=UTC)
    set_service(sqlite_store, "sim", ServiceSettings(floor=0), by="test", now=long_ago)
    asked = Registration(service="sim", address="127.0.0.1", port=1)
    register(sqlite_store, asked, by="test", now=long_ago)
    with listening() as hook:
        environment = {
            "USERDB_URL": str(sqlite_store.url.url),
            "MONITORING_HOME": str(tmp_path),
            "MONITORING_WATCHDOG_URL": hook.url,
        }
        runs = [dags.run("monitoring_upkeep", environment=environment) for _ in range(2)]
    for run in runs:
        assert run.tasks == {"notify": "success", "registry": "success", "watch": "success"}
        assert set(run.xcoms["watch/return_value"]["problems"]) == {"policy request-timeouts"}
    assert [run.xcoms["registry/return_value"]["deregistered"] for run in runs] == [1, 0]
    assert [one.payload["status"] for one in hook.received] == ["firing"]
    assert json.loads((tmp_path / "var" / "watchdog.json").read_text()).keys() == {
        "policy request-timeouts"
    }


def test_an_unreachable_userdb_is_told_by_the_watch_and_fails_the_rest(
    dags: DagProcess, tmp_path: Path
) -> None:
    with listening() as hook:
        environment = {
            "USERDB_URL": "mysql+pymysql://u:hunter22@127.0.0.1:1/userdb",
            "MONITORING_HOME": str(tmp_path),
            "MONITORING_WATCHDOG_URL": hook.url,
        }
        run = dags.run("monitoring_upkeep", environment=environment)
    assert run.tasks == {"notify": "failed", "registry": "failed", "watch": "success"}
    assert set(run.xcoms["watch/return_value"]["problems"]) == {"userdb"}
    told = [subject for one in hook.received for subject in one.payload["reasons"]]
    assert "userdb" in told
    assert "hunter22" not in str([one.payload for one in hook.received])
    assert "hunter22" not in str(run.xcoms)
