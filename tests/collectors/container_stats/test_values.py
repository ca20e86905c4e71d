"""Values that userdb's columns can't hold: each costs itself, and no container of its host."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from monitoring.window import Window
from sqlalchemy import select

from include.collectors.container_stats.collector import ContainerStatsCollector
from include.collectors.container_stats.docker_payload import parse_inspect, parse_stats, with_usage
from include.collectors.container_stats.kubernetes_payload import parse_pod
from include.collectors.container_stats.runtime import Container, Listing, Period
from include.collectors.container_stats.settings import ContainerStatsSettings, EngineHost
from include.collectors.container_stats.values import parse_time
from userdb.models import ContainerSample
from userdb.store import Store

END = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _of_docker() -> Container:
    state = {
        "Status": "running" * 9,
        "ExitCode": 3221225786,  # 0xC000013A: Windows, after Ctrl-C
        "FinishedAt": "2026-03-01T11:00:00Z",
        "Health": {"Status": "starting" * 9, "FailingStreak": 2**40},
    }
    labels = {"app": "half \ud83d"}
    inspected = {"Id": "i" * 200, "Name": "/a \ud800", "State": state, "RestartCount": 2**31}
    measured = {
        "cpu_stats": {
            "cpu_usage": {"total_usage": 2**64, "percpu_usage": [1, 2]},
            "system_cpu_usage": 9,
            "online_cpus": 2**32,
        },
        "memory_stats": {"usage": 7, "limit": 2**64 - 1},
        "pids_stats": {"current": 2**31},
    }
    container = parse_inspect({**inspected, "Config": {"Labels": labels}}, 0.5)
    return with_usage(container, parse_stats(measured), 0.5)


def _of_kubernetes() -> Container:
    ended = {"exitCode": 2**31, "reason": "\ud800", "finishedAt": "2026-03-01T11:00:00Z"}
    pod: dict[str, Any] = {
        "metadata": {"name": "b", "namespace": "n", "uid": "\ud800"},
        "spec": {
            "containers": [{"name": "c", "resources": {"limits": {"memory": "10Ei"}}}],
            "nodeName": "\udfff",
        },
        "status": {
            "containerStatuses": [
                {"name": "c", "restartCount": 2**31, "state": {"terminated": ended}}
            ]
        },
    }
    (found,) = parse_pod(pod, {}, 0.5)
    return found


def test_values_that_fit_no_column_are_none_and_all_containers_are_stored(store: Store) -> None:
    class Told:
        def containers(self, period: Period | None = None) -> Listing:
            return Listing((_of_docker(), _of_kubernetes()))

    settings = ContainerStatsSettings(hosts=[EngineHost(name="here", url="unix:///nowhere")])
    collector = ContainerStatsCollector(settings, open_runtime=lambda *_: Told())
    window = Window(END - timedelta(minutes=5), END)
    report = collector.collect(window, store, now=END + timedelta(seconds=20))
    assert (report.ok, report.rows) == (True, 2)
    with store.read() as connection:
        rows = connection.execute(
            select(ContainerSample).order_by(ContainerSample.container_id)
        ).all()
    cluster, engine = rows
    assert (engine.container_id, engine.state) == ("i" * 128, ("running" * 9)[:32])
    assert (engine.exit_code, engine.failing_streak, engine.restarts) == (None, None, 0)
    assert (engine.pids, engine.online_cpus, engine.memory_bytes) == (None, None, 7)
    assert (cluster.container_id, cluster.reason) == ("?/c", "?")
    assert (cluster.exit_code, cluster.restarts, cluster.memory_limit_bytes) == (None, 0, None)


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-14:00", "2026-03-01T12:00:00", "soon"])
def test_a_time_that_userdb_can_not_hold_is_refused_as_a_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|iso"):
        parse_time(text)
