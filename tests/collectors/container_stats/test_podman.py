"""A real Podman, asked by the same API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from monitoring.window import Window
from sqlalchemy import select

from include.collectors.config import Settings
from include.collectors.container_stats.docker_engine import DockerEngine
from include.collectors.container_stats.runtime import Container, ContainerEvent, Listing, Period
from include.collectors.container_stats.settings import EngineHost
from include.collectors.run import run_collector
from tests.servers.podman import PodmanServer
from userdb.models import ContainerSample, MonitorEvent, Series
from userdb.store import Store

pytestmark = pytest.mark.podman


def _ask(server: PodmanServer, since: datetime | None = None) -> Listing:
    host = EngineHost(name="local", runtime="podman", url=server.url)
    period = None if since is None else Period(since, datetime.now(UTC))
    return DockerEngine(host, timeout_s=30, concurrency=8).containers(period)


def _by_name(listing: Listing) -> dict[str, Container]:
    assert listing.rejected == ()
    return {container.name: container for container in listing.containers}


def _events(listing: Listing, name: str) -> list[ContainerEvent]:
    assert listing.notes == ()
    assert listing.events is not None
    return [event for event in listing.events if event.container == name]


def _wait(what: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.05)


def _ended(server: PodmanServer, name: str) -> bool:
    return bool(server.inspect(name)["State"]["Status"] == "exited")


def test_states_are_those_of_podman_inspect(podman: PodmanServer) -> None:
    podman.run("runs", "sleep", "300", options=["--label", "service=sim", "--memory", "64m"])
    podman.run("failed", "sh", "-c", "exit 3")
    podman.run("frozen", "sleep", "300")
    podman.podman("pause", "frozen")
    podman.podman("create", "--name", "made", "--network", "none", "localhost/box:1", "true")
    podman.run("again", "false", options=["--restart", "on-failure:2"])
    _wait(lambda: podman.inspect("again")["RestartCount"] == 2 and _ended(podman, "again"))
    _wait(lambda: _ended(podman, "failed"))
    found = _by_name(_ask(podman))
    assert {name: (one.state, one.exit_code, one.restarts) for name, one in found.items()} == {
        "runs": ("running", None, 0),
        "failed": ("exited", 3, 0),
        "frozen": ("paused", None, 0),
        "made": ("created", None, 0),
        "again": ("exited", 1, 2),
    }
    for name, one in found.items():
        inspected = podman.inspect(name)
        assert one.container_id == inspected["Id"]
        assert one.image == "localhost/box:1"
        assert one.health is None
    assert found["runs"].labels == {"service": "sim"}
    assert found["runs"].memory_limit_bytes == 64 * 2**20
    assert {name for name, one in found.items() if one.usage} == {"runs", "frozen"}


def test_cpu_and_memory_are_what_podman_stats_shows(
    podman: PodmanServer, sqlite_store: Store
) -> None:
    podman.run("busy", "sh", "-c", "while :; do :; done", options=["--cpus", "0.3"])
    podman.run("idle", "sleep", "300", options=["--memory", "64m"])
    settings = Settings.model_validate(
        {
            "container_stats": {
                "hosts": [{"name": "local", "runtime": "podman", "url": podman.url}],
            }
        }
    )
    end = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    step = timedelta(minutes=5)
    began, used = time.monotonic(), _cpu_seconds(podman, "busy")
    for number in range(2):
        at = end + number * step
        run_collector(
            "container_stats",
            Window(at - step, at),
            sqlite_store,
            now=at + timedelta(seconds=9),
            settings=settings,
        )
        if number == 0:
            time.sleep(2)
    by_hand = 100 * (_cpu_seconds(podman, "busy") - used) / (time.monotonic() - began)
    with sqlite_store.read() as connection:
        rows = {
            row.labels["container"]: row
            for row in connection.execute(
                select(ContainerSample, Series.labels)
                .join(Series, Series.id == ContainerSample.series_id)
                .order_by(ContainerSample.minute)
            )
        }
    assert rows["busy"].cpu_percent == pytest.approx(by_hand, abs=5.0)
    assert rows["busy"].cpu_percent > 5
    assert rows["busy"].cpu_limit_percent == pytest.approx(rows["busy"].cpu_percent / 0.3)
    assert rows["idle"].cpu_percent < 5
    (shown,) = json.loads(podman.podman("stats", "--no-stream", "--format", "json", "idle"))
    assert shown["mem_usage"].split(" / ")[1] == "67.11MB"
    assert rows["idle"].memory_limit_bytes == 64 * 2**20
    assert rows["idle"].memory_bytes == pytest.approx(_bytes(podman, "idle"), abs=300_000)
    assert rows["idle"].memory_percent == pytest.approx(
        100 * rows["idle"].memory_bytes / (64 * 2**20)
    )


def _stats(server: PodmanServer, name: str) -> dict[str, Any]:
    (found,) = json.loads(server.podman("stats", "--no-stream", "--format", "json", name))
    return dict(found)


def _cpu_seconds(server: PodmanServer, name: str) -> float:
    text = str(_stats(server, name)["cpu_time"])
    units = {"ms": 0.001, "µs": 1e-6, "s": 1.0}
    minutes, _, rest = text.rpartition("m") if "m" in text.replace("ms", "") else ("", "", text)
    unit = next(unit for unit in units if rest.endswith(unit))
    return 60 * float(minutes or 0) + float(rest.removesuffix(unit)) * units[unit]


def _bytes(server: PodmanServer, name: str) -> float:
    text = str(_stats(server, name)["mem_usage"]).split(" / ", maxsplit=1)[0]
    units = {"kB": 10**3, "MB": 10**6, "B": 1}
    unit = next(unit for unit in units if text.endswith(unit))
    return float(text.removesuffix(unit)) * units[unit]


def test_what_happened_is_told_even_of_containers_that_are_gone(podman: PodmanServer) -> None:
    since = datetime.now(UTC) - timedelta(milliseconds=1)
    podman.podman(
        *("run", "--rm", "--network", "none", "--name", "brief", "--label", "service=sim"),
        *("localhost/box:1", "sh", "-c", "exit 0"),
    )
    podman.run("crashes", "sh", "-c", "exit 7", options=["--restart", "on-failure:2"])
    podman.run("stopped", "sleep", "300")
    podman.podman("restart", "--time", "0", "stopped")
    _wait(lambda: podman.inspect("crashes")["RestartCount"] == 2 and _ended(podman, "crashes"))
    listing = _ask(podman, since)
    (brief,) = _events(listing, "brief")
    assert (brief.action, brief.exit_code, brief.asked) == ("die", 0, False)
    assert brief.labels["service"] == "sim"
    assert "brief" not in _by_name(listing)
    crashes = _events(listing, "crashes")
    assert [event.action for event in crashes] == ["die", "restart"] * 2 + ["die"]
    assert {event.exit_code for event in crashes if event.action == "die"} == {7}
    assert not any(event.asked for event in crashes)
    restart, end = _events(listing, "stopped")
    assert (restart.action, end.action, end.asked) == ("restart", "die", True)
    assert _events(_ask(podman, datetime.now(UTC)), "crashes") == []


def test_health_is_told_when_it_changes_and_not_at_each_check(podman: PodmanServer) -> None:
    since = datetime.now(UTC) - timedelta(milliseconds=1)
    options = ["--health-cmd", "test -e /ok", "--health-interval", "disable"]
    podman.run("sick", "sleep", "300", options=[*options, "--health-retries", "1"])
    for _ in range(4):
        with pytest.raises(RuntimeError):
            podman.podman("healthcheck", "run", "sick")
    listing = _ask(podman, since)
    # Podman tells of the state before the check
    assert [event.health for event in _events(listing, "sick")] == ["starting", "unhealthy"]
    assert _by_name(listing)["sick"].health == "unhealthy"
    assert _by_name(listing)["sick"].failing_streak == 4


def test_events_become_rows_once(podman: PodmanServer, sqlite_store: Store) -> None:
    podman.run("once", "sh", "-c", "exit 7", options=["--restart", "on-failure:1"])
    _wait(lambda: podman.inspect("once")["RestartCount"] == 1 and _ended(podman, "once"))
    settings = Settings.model_validate(
        {
            "container_stats": {
                "hosts": [{"name": "local", "runtime": "podman", "url": podman.url}],
            }
        }
    )
    exits = []
    now = datetime.now(UTC)
    end = now.replace(second=0, microsecond=0)
    for number in range(2):
        window = Window(end - timedelta(minutes=2 - number), end - timedelta(minutes=1 - number))
        run_collector("container_stats", window, sqlite_store, now=now, settings=settings)
        with sqlite_store.read() as connection:
            exits.append(
                connection.scalar(
                    select(ContainerSample.exits).where(
                        ContainerSample.minute == window.stop_minute - 1
                    )
                )
            )
    with sqlite_store.read() as connection:
        rows = connection.execute(
            select(MonitorEvent).where(MonitorEvent.container == "once")
        ).all()
    assert sorted(str(row.exception_type) for row in rows) == ["die", "die", "restart"]
    died = next(row for row in rows if row.exception_type == "die")
    assert (died.event_type, died.level, died.container) == ("container", "error", "once")
    assert died.message == "once ended with exit code 7"
    assert (died.instance, died.rolled_up) == ("local", False)
    assert exits == [2, 0]
