"""A real Docker Engine with real containers, compared with what Docker itself says of them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from monitoring.window import Window
from sqlalchemy import select

from include.collectors.config import Settings
from include.collectors.container_stats.docker_engine import DockerEngine
from include.collectors.container_stats.runtime import Container, Period
from include.collectors.container_stats.settings import EngineHost
from include.collectors.run import run_collector
from tests.servers.docker import IMAGE, DockerServer
from userdb.ledger import CollectionReport
from userdb.models import ContainerSample, Series
from userdb.store import Store

pytestmark = pytest.mark.docker

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STEP = timedelta(minutes=5)
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
#: The kernel charges memory ahead, 64 pages a CPU: what it says of small containers jumps by that.
_STOCK = 64 * 4096 * (os.cpu_count() or 1)
_WITHIN_AIRFLOW = str(Path(__file__).with_name("ask_within_airflow.py"))


def _engine(server: DockerServer, url: str | None = None) -> DockerEngine:
    host = EngineHost(name="local", url=url or server.url)
    return DockerEngine(host, timeout_s=30, concurrency=8)


def _by_name(server: DockerServer) -> dict[str, Container]:
    listing = _engine(server).containers()
    assert listing.rejected == ()
    return {container.name: container for container in listing.containers}


def _collect(
    server: DockerServer, store: Store, step: int, url: str | None = None
) -> CollectionReport:
    """Collect the ``step``th window; its time is made up, the containers are not."""
    window = Window(START + step * STEP, START + (step + 1) * STEP)
    settings = Settings.model_validate(
        {"container_stats": {"hosts": [{"name": "local", "url": url or server.url}]}}
    )
    return run_collector(
        "container_stats", window, store, now=window.end + timedelta(seconds=9), settings=settings
    )


def _rows(store: Store, step: int) -> dict[str, Any]:
    """Samples of a window by the container's name."""
    minute = Window(START + step * STEP, START + (step + 1) * STEP).stop_minute - 1
    with store.read() as connection:
        rows = connection.execute(
            select(ContainerSample, Series.labels)
            .join(Series, Series.id == ContainerSample.series_id)
            .where(ContainerSample.minute == minute)
        )
        return {row.labels["container"]: row for row in rows}


def _wait(what: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.05)


def _status(server: DockerServer, name: str) -> str:
    return str(server.inspect(name)["State"]["Status"])


def _bytes(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)\s*([A-Za-z]+)", text.strip())
    assert match, text
    return float(match[1]) * _UNITS[match[2]]


def _docker_stats(server: DockerServer) -> dict[str, dict[str, str]]:
    lines = server.docker("stats", "--no-stream", "--format", "{{json .}}").splitlines()
    return {entry["Name"]: entry for entry in map(json.loads, lines)}


def _memory_in_use(*shown: dict[str, str]) -> tuple[float, float]:
    """Between which bytes Docker's own readings lie, with what it rounds and the kernel's stock."""
    used = [_bytes(entry["MemUsage"].split("/")[0]) for entry in shown]
    return min(used) * 0.99 - _STOCK, max(used) * 1.01 + _STOCK


def test_cpu_and_memory_are_those_of_docker_stats(
    engine: DockerServer, sqlite_store: Store
) -> None:
    engine.run("busy", "sh", "-c", "while :; do :; done", options=["--cpus", "0.3"])
    engine.run("idle", "sleep", "300")
    engine.run(
        "full",
        *("sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=100 && sleep 300"),
        options=["--memory", "160m", "--shm-size", "128m"],
    )
    # 30 MB of page cache, which is not memory in use
    engine.run(
        "cached", "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=30 conv=fsync && sleep 300"
    )
    time.sleep(1.5)
    _collect(engine, sqlite_store, 0)
    shown = [_docker_stats(engine) for _ in range(2)]
    assert _collect(engine, sqlite_store, 1).ok
    rows = _rows(sqlite_store, 1)
    assert set(rows) == {"busy", "idle", "full", "cached"}
    for name, row in rows.items():
        by_docker = sum(float(s[name]["CPUPerc"].rstrip("%")) for s in shown) / len(shown)
        assert row.cpu_percent == pytest.approx(by_docker, abs=5.0), name
        _, limit = shown[-1][name]["MemUsage"].split("/")
        assert row.memory_limit_bytes == pytest.approx(_bytes(limit), rel=0.01), name
        assert row.memory_percent == pytest.approx(100 * row.memory_bytes / row.memory_limit_bytes)
        assert row.pids == int(shown[-1][name]["PIDs"]), name
    assert rows["busy"].cpu_percent > 15
    assert rows["busy"].throttled_periods > 0
    assert rows["idle"].cpu_percent < 5
    assert rows["full"].memory_bytes > 100 * 2**20
    assert rows["cached"].memory_bytes < 15 * 2**20
    assert all(row.cpu_percent is None for row in _rows(sqlite_store, 0).values())

    # the kernel moves pages between its lists meanwhile: only a still moment can be compared
    for step in range(2, 12):
        before = _docker_stats(engine)
        _collect(engine, sqlite_store, step)
        after = _docker_stats(engine)
        apart = {
            name: (row.memory_bytes, used)
            for name, row in _rows(sqlite_store, step).items()
            if not (used := _memory_in_use(before[name], after[name]))[0]
            <= row.memory_bytes
            <= used[1]
        }
        if not apart:
            break
    assert apart == {}


def test_network_and_block_io_are_those_of_docker_stats(engine: DockerServer) -> None:
    engine.run("talker", "sh", "-c", "ping -c 20 -i 0.01 -s 1000 172.17.0.1; sleep 300")
    engine.run("alone", "sleep", "300", options=["--network", "none"])
    time.sleep(1.5)
    found = _by_name(engine)
    shown = _docker_stats(engine)
    usage = found["talker"].usage
    assert usage is not None
    received, sent = (_bytes(text) for text in shown["talker"]["NetIO"].split("/"))
    assert usage.network_rx_bytes == pytest.approx(received, rel=0.02)
    assert usage.network_tx_bytes == pytest.approx(sent, rel=0.02)
    assert sent > 20_000
    read, written = (_bytes(text) for text in shown["talker"]["BlockIO"].split("/"))
    assert (usage.block_read_bytes or 0) == pytest.approx(read, rel=0.02)
    assert (usage.block_write_bytes or 0) == pytest.approx(written, rel=0.02)
    assert found["alone"].usage is not None
    assert found["alone"].usage.network_rx_bytes is None


def test_states_are_those_of_docker_inspect(engine: DockerServer, sqlite_store: Store) -> None:
    engine.run("runs", "sleep", "300", options=["--label", "com.docker.compose.service=sim"])
    engine.run("done", "true")
    engine.run("failed", "sh", "-c", "exit 3")
    engine.run("frozen", "sleep", "300")
    engine.docker("pause", "frozen")
    engine.docker("create", "--name", "made", IMAGE, "true")
    _wait(lambda: _status(engine, "done") == _status(engine, "failed") == "exited")
    report = _collect(engine, sqlite_store, 0)
    assert (report.ok, report.rows) == (True, 5)
    rows = _rows(sqlite_store, 0)
    for name, row in rows.items():
        inspected = engine.inspect(name)
        state = inspected["State"]
        assert row.container_id == inspected["Id"]
        assert row.state == state["Status"]
        assert row.running == int(state["Status"] == "running")
        assert row.oom_killed == state["OOMKilled"]
        assert (row.restarts, row.restarts_delta) == (inspected["RestartCount"], 0)
        assert (row.health, row.unhealthy) == (None, None)
        for column, key in (("started_at", "StartedAt"), ("finished_at", "FinishedAt")):
            stored = getattr(row, column)
            text = stored.strftime("%Y-%m-%dT%H:%M:%S") if stored else "0001-01-01T00:00:00"
            assert state[key].startswith(text)
    assert {name: row.exit_code for name, row in rows.items()} == {
        "runs": None,
        "done": 0,
        "failed": 3,
        "frozen": None,
        "made": None,
    }
    assert {name for name, row in rows.items() if row.memory_bytes is not None} == {
        "runs",
        "frozen",
    }
    assert rows["runs"].labels == {
        "container": "runs",
        "service": "sim",
        "image": IMAGE,
        "host": "local",
    }
    assert "service" not in rows["done"].labels


def test_a_container_killed_for_want_of_memory(engine: DockerServer) -> None:
    engine.run("greedy", "sh", "-c", "tail /dev/zero", options=["--memory", "16m"])
    _wait(lambda: _status(engine, "greedy") == "exited")
    found = _by_name(engine)["greedy"]
    assert (found.state, found.oom_killed, found.exit_code) == ("exited", True, 137)
    assert found.usage is None


def test_what_happened_is_told_even_of_containers_that_are_gone(engine: DockerServer) -> None:
    since = datetime.now(UTC) - timedelta(milliseconds=1)
    engine.run("brief", "false", options=["--rm", "--label", "service=sim"])
    engine.run("crashes", "sh", "-c", "exit 7", options=["--restart", "on-failure:2"])
    engine.run("stopped", "sleep", "300")
    engine.docker("restart", "--time", "0", "stopped")
    engine.run("greedy", "sh", "-c", "tail /dev/zero", options=["--memory", "16m"])
    check = ["--health-cmd", "false", "--health-interval", "0.1s", "--health-retries", "1"]
    engine.run("sick", "sleep", "300", options=check)
    _wait(lambda: _status(engine, "greedy") == _status(engine, "crashes") == "exited")
    _wait(lambda: engine.inspect("crashes")["RestartCount"] == 2)
    _wait(lambda: "brief" not in engine.docker("ps", "--all", "--format", "{{.Names}}"))
    _wait(lambda: bool(engine.inspect("sick")["State"]["Health"]["Status"] == "unhealthy"))
    host = EngineHost(name="local", url=engine.url)
    asked = DockerEngine(host, timeout_s=30, concurrency=8)
    listing = asked.containers(Period(since, datetime.now(UTC)))
    assert listing.notes == ()
    assert listing.events is not None
    told: dict[str, list[Any]] = {}
    for event in listing.events:
        told.setdefault(event.container, []).append(event)
    (brief,) = told["brief"]
    assert (brief.action, brief.exit_code, brief.asked) == ("die", 1, False)
    assert (brief.labels["service"], brief.image) == ("sim", IMAGE)
    assert [(e.action, e.exit_code, e.asked) for e in told["crashes"]] == [("die", 7, False)] * 3
    assert [(e.action, e.asked) for e in told["stopped"]] == [("die", True), ("restart", False)]
    assert {e.action for e in told["greedy"]} == {"oom", "die"}
    assert [e.health for e in told["sick"]] == ["unhealthy"]
    nothing = asked.containers(Period(datetime.now(UTC), datetime.now(UTC)))
    assert nothing.events == ()


def test_a_container_that_keeps_restarting(engine: DockerServer, sqlite_store: Store) -> None:
    engine.run("crashes", "sh", "-c", "exit 1", options=["--restart", "always"])

    def restarts() -> int:
        return int(engine.inspect("crashes")["RestartCount"])

    _wait(lambda: restarts() >= 2)
    _collect(engine, sqlite_store, 0)
    seen = restarts()
    _wait(lambda: restarts() >= seen + 1)
    before = restarts()
    _collect(engine, sqlite_store, 1)
    first, second = (_rows(sqlite_store, step)["crashes"] for step in (0, 1))
    assert second.exit_code == 1
    assert second.state in ("restarting", "running")
    assert before <= second.restarts <= restarts()
    assert second.restarts_delta == second.restarts - first.restarts
    assert second.restarts_delta >= 1
    assert second.cpu_percent is None


def test_health(engine: DockerServer, sqlite_store: Store) -> None:
    options = ["--health-interval", "100ms", "--health-retries", "2", "--health-cmd"]
    engine.run("well", "sleep", "300", options=[*options, "true"])
    engine.run("ill", "sleep", "300", options=[*options, "false"])

    def health(name: str) -> str:
        return str(engine.inspect(name)["State"]["Health"]["Status"])

    _wait(lambda: health("well") == "healthy" and health("ill") == "unhealthy")
    _collect(engine, sqlite_store, 0)
    rows = _rows(sqlite_store, 0)
    assert (rows["well"].health, rows["well"].unhealthy) == ("healthy", 0)
    assert (rows["well"].failing_streak, rows["well"].running) == (0, 1)
    assert (rows["ill"].health, rows["ill"].unhealthy) == ("unhealthy", 1)
    assert rows["ill"].failing_streak >= 2


@contextmanager
def _gate(server: DockerServer, on_request: Callable[[bytes], None]) -> Iterator[str]:
    """The URL of a way to the engine that calls ``on_request`` before it passes a request on."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(near: socket.socket) -> None:
        with closing(near), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as far:
            far.connect(server.url.removeprefix("unix://"))

            def answer() -> None:
                with suppress(OSError):  # the other direction ends first
                    while data := far.recv(65536):
                        near.sendall(data)

            threading.Thread(target=answer, daemon=True).start()
            while data := near.recv(65536):
                on_request(data)
                far.sendall(data)

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(near,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with closing(listener):
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        # wakes the thread that accepts
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("request_line", ["/containers/{id}/json", "/containers/{id}/stats"])
def test_one_that_is_removed_meanwhile_is_a_rejected_row(
    engine: DockerServer, sqlite_store: Store, request_line: str
) -> None:
    engine.run("stays", "sleep", "300")
    victim = engine.run("goes", "sleep", "300")
    wanted = request_line.format(id=victim).encode()

    def remove(data: bytes) -> None:
        if wanted in data:
            engine.docker("rm", "--force", victim)

    with _gate(engine, remove) as url:
        report = _collect(engine, sqlite_store, 0, url)
    assert report.ok
    assert (report.rows, report.rejected) == (1, 1)
    (sample,) = report.sources[0].samples
    assert (sample.where, sample.why) == ("goes", "went away while it was asked about")
    assert set(_rows(sqlite_store, 0)) == {"stays"}


def test_a_removed_container_is_absent(engine: DockerServer, sqlite_store: Store) -> None:
    engine.run("stays", "sleep", "300")
    engine.run("goes", "sleep", "300")
    _collect(engine, sqlite_store, 0)
    engine.docker("rm", "--force", "goes")
    _collect(engine, sqlite_store, 1)
    assert set(_rows(sqlite_store, 0)) == {"stays", "goes"}
    assert set(_rows(sqlite_store, 1)) == {"stays"}


def test_within_airflow_the_providers_hook_asks(engine: DockerServer, tmp_path: Path) -> None:
    engine.run("runs", "sleep", "300")
    done = subprocess.run(
        [sys.executable, _WITHIN_AIRFLOW, "20", engine.url],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [["runs"]]
