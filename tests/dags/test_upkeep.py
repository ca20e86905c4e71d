"""What runs every minute, by ``dag.test()``: retries, and the watchdog that outlives userdb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.dags.conftest import DagProcess
from tests.notify.episodes import add_policy
from tests.notify.hooks import listening
from userdb.store import Store

pytestmark = pytest.mark.airflow


def test_a_stale_policy_is_told_and_fails_nothing(
    dags: DagProcess, sqlite_store: Store, tmp_path: Path
) -> None:
    add_policy(sqlite_store)
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
