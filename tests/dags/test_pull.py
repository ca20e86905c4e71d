"""The chain where nodes are configured: one task more, which reads them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select

from tests.collectors.pull.facts import FIRST, STOP, add_minute, cover_all, covers, requests
from tests.dags.conftest import DagProcess
from tests.servers.node import run_node
from userdb.models import Evaluation
from userdb.store import Store, open_store
from userdb.times import from_minute

pytestmark = pytest.mark.airflow


def test_the_chain_reads_the_nodes_that_are_configured(
    dags: DagProcess, sqlite_store: Store, sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "node.sqlite")
    node_store = open_store(f"sqlite:///{tmp_path / 'node.sqlite'}")
    add_minute(node_store, "edge", FIRST, 5)
    cover_all(node_store)
    with run_node("gw-1", node_store) as node:
        assert node.key is not None
        sources = {
            "request_logs": {"sources": []},
            "container_stats": {"hosts": []},
            "pull": {"nodes": [{"name": "gw-1", "url": node.url, "key": "${GW_1_KEY}"}]},
        }
        path = tmp_path / "sources.yaml"
        path.write_text(yaml.safe_dump(sources), encoding="utf-8")
        run = dags.run(
            "monitoring_chain",
            environment={
                "USERDB_URL": sqlite_store.url.url.render_as_string(hide_password=False),
                "MONITORING_SOURCES": str(path),
                "MONITORING_HOME": str(tmp_path),
                "MONITORING_SPOOL": str(tmp_path / "spool"),
                "GW_1_KEY": node.key.get_secret_value(),
            },
            conf={
                "window_start": from_minute(FIRST).isoformat(),
                "window_end": from_minute(STOP).isoformat(),
                "notify": "no",
            },
        )
    node_store.close()
    assert run.tasks["collect.pull"] == run.tasks["analysis.score_policies"] == "success"
    assert run.state == "success"
    told = run.xcoms["collect.pull/return_value"]
    assert told["sources"] == {
        "gw-1/events": "ok",
        "gw-1/requests": "ok",
        "gw-1/containers": "ok",
    }
    assert requests(sqlite_store) == {("gw-1/edge", 0): 5}
    assert covers(sqlite_store, "request") == [0, 1, 2, 3, 4]
    with sqlite_store.read() as connection:
        assert connection.scalars(select(Evaluation.policy)).first() is not None
    assert node.key.get_secret_value() not in str(run.xcoms)
