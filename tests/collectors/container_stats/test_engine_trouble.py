"""Engines that are away, hang, answer garbage or are old."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from monitoring.window import Window

from benchmarks.containers import main as measure_many_containers
from include.collectors.config import Settings
from include.collectors.container_stats.docker_engine import DockerEngine
from include.collectors.container_stats.runtime import Listing
from include.collectors.container_stats.settings import EngineHost
from include.collectors.run import run_collector
from tests.servers.scripted_engine import run_scripted_engine
from userdb.errors import CollectionError
from userdb.store import Store

NOW = datetime(2026, 3, 1, 12, 0, 20, tzinfo=UTC)
WINDOW = Window(NOW.replace(second=0) - timedelta(minutes=5), NOW.replace(second=0))
_WITHIN_AIRFLOW = str(Path(__file__).with_name("ask_within_airflow.py"))


@pytest.fixture(autouse=True)
def _without_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "include.collectors.container_stats.docker_client.airflow_is_meant", lambda: False
    )


@pytest.fixture
def hung() -> Iterator[str]:
    """The URL of a socket that accepts and never answers."""
    folder = Path(tempfile.mkdtemp())
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
        listener.bind(str(folder / "s"))
        listener.listen(16)
        yield f"unix://{folder / 's'}"
    (folder / "s").unlink()
    folder.rmdir()


def _ask(url: str, timeout_s: float = 5.0, **settings: Any) -> Listing:
    host = EngineHost(name="local", url=url, **settings)
    return DockerEngine(host, timeout_s=timeout_s, concurrency=4).containers()


def _entry(name: str, **labels: str) -> dict[str, Any]:
    return {"Id": f"id-{name}", "Names": [f"/{name}"], "Image": "sim:1", "Labels": labels}


def _inspect(name: str, status: str = "running") -> dict[str, Any]:
    return {
        "Id": f"id-{name}",
        "Name": f"/{name}",
        "RestartCount": 0,
        "Config": {"Image": "sim:1", "Labels": {}},
        "State": {"Status": status, "ExitCode": 0, "OOMKilled": False},
    }


def _stats(**more: Any) -> dict[str, Any]:
    return {
        "cpu_stats": {
            "cpu_usage": {"total_usage": 600},
            "system_cpu_usage": 2000,
            "online_cpus": 2,
        },
        "memory_stats": {"usage": 10, "limit": 20},
        **more,
    }


def _answers(*names: str) -> dict[str, Any]:
    answers: dict[str, Any] = {"/containers/json": (200, [_entry(name) for name in names])}
    for name in names:
        answers[f"/containers/id-{name}/json"] = (200, _inspect(name))
        answers[f"/containers/id-{name}/stats"] = (200, _stats())
    # the hook pings
    return {"/_ping": (200, b"OK"), **answers}


def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(CollectionError) as caught:
        _ask(f"unix://{tmp_path / 'none.sock'}")
    said = str(caught.value)
    assert f"the engine local at unix://{tmp_path / 'none.sock'} can't be reached" in said
    assert "No such file or directory" in said
    assert "container_stats.hosts" in said


def test_nobody_listens() -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(CollectionError, match=rf"127.0.0.1:{port} can't be reached: .*refused"):
        _ask(f"tcp://127.0.0.1:{port}")


def test_a_hung_engine_costs_its_time_limit_only(hung: str) -> None:
    began = time.perf_counter()
    with pytest.raises(CollectionError) as caught:
        _ask(hung, timeout_s=1.5)
    assert 1.0 < time.perf_counter() - began < 4.0
    assert f"{hung} did not answer within 1.5 s" in str(caught.value)
    assert "container_stats.timeout_s" in str(caught.value)


def test_a_hung_engine_keeps_no_other_from_being_collected(
    hung: str, sqlite_store: Store, tmp_path: Path
) -> None:
    with run_scripted_engine(_answers("sim")) as engine:
        hosts = [
            {"name": "hung", "url": hung, "timeout_s": 1.5},
            {"name": "away", "url": f"unix://{tmp_path / 'none.sock'}"},
            {"name": "good", "url": engine.url},
        ]
        settings = Settings.model_validate({"container_stats": {"timeout_s": 60, "hosts": hosts}})
        began = time.perf_counter()
        report = run_collector("container_stats", WINDOW, sqlite_store, now=NOW, settings=settings)
        assert time.perf_counter() - began < 5.0
    assert [(source.source, source.status, source.rows) for source in report.sources] == [
        ("hung", "failed", 0),
        ("away", "failed", 0),
        ("good", "ok", 1),
    ]


@pytest.mark.parametrize("body", [b"", b"\x00\xff not json", b'"text"', b"[1, 2]", b"null"])
def test_a_listing_that_is_garbage(body: bytes) -> None:
    with (
        run_scripted_engine({**_answers(), "/containers/json": (200, body)}) as engine,
        pytest.raises(CollectionError, match=f"the engine local at {engine.url} gave no usable"),
    ):
        _ask(engine.url)


def test_an_engine_that_refuses() -> None:
    answers = {**_answers(), "/containers/json": (500, {"message": "database is corrupt"})}
    with (
        run_scripted_engine(answers) as engine,
        pytest.raises(CollectionError, match=r"refuses to answer.*500.*corrupt"),
    ):
        _ask(engine.url)


def test_something_that_is_no_engine_at_all() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with suppress(OSError):  # the listener is closed when the test ends
            while True:
                with closing(listener.accept()[0]) as peer:
                    peer.sendall(b"220 mail.example.org ESMTP\r\n")

    threading.Thread(target=answer, daemon=True).start()
    with closing(listener), pytest.raises(CollectionError, match="the engine local at tcp://"):
        _ask(f"tcp://127.0.0.1:{listener.getsockname()[1]}", timeout_s=2.0)


def test_one_container_that_hangs_or_breaks_costs_itself_only() -> None:
    release = threading.Event()

    def hang() -> tuple[int, Any]:
        release.wait(30)
        return 200, _inspect("stuck")

    answers = _answers("good", "stuck", "broken", "gone", "unmeasured")
    answers["/containers/id-stuck/json"] = hang
    answers["/containers/id-broken/json"] = (200, {"Id": "id-broken"})
    answers["/containers/id-gone/stats"] = (404, {"message": "No such container: id-gone"})
    answers["/containers/id-unmeasured/stats"] = (500, {"message": "cgroup is gone"})
    with run_scripted_engine(answers) as engine:
        listing = _ask(engine.url, timeout_s=6.0)
        release.set()
    assert {c.name: c.usage is not None for c in listing.containers} == {
        "good": True,
        "unmeasured": False,
    }
    why = {rejected.where: rejected.why for rejected in listing.rejected}
    assert why["gone"] == "went away while it was asked about"
    assert why["broken"] == "KeyError: 'State'"
    assert why["unmeasured"] == "no measurement: HTTP 500: cgroup is gone"
    assert "timed out" in why["stuck"].lower()


def test_an_engine_that_tells_of_no_container_has_failed() -> None:
    answers = _answers("a", "b")
    for name in ("a", "b"):
        answers[f"/containers/id-{name}/json"] = (500, {"message": "out of descriptors"})
    with (
        run_scripted_engine(answers) as engine,
        pytest.raises(CollectionError, match=r"lists 2 containers and tells of none.*descriptors"),
    ):
        _ask(engine.url)


def test_an_engine_that_is_too_slow_as_a_whole_has_failed() -> None:
    def slow() -> tuple[int, Any]:
        time.sleep(0.4)
        return 200, _inspect("x", "exited")

    names = [f"c{number}" for number in range(24)]
    answers = _answers(*names)
    answers |= {f"/containers/id-{name}/json": slow for name in names}
    with (
        run_scripted_engine(answers) as engine,
        pytest.raises(CollectionError, match=r"told of only \d+ of 24 containers within 1.2 s"),
    ):
        _ask(engine.url, timeout_s=1.2)


@pytest.mark.parametrize(("version", "one_shot"), [("1.40", None), ("1.41", ["True"])])
def test_one_sample_is_taken_where_the_api_can(version: str, one_shot: list[str] | None) -> None:
    answers = _answers("sim")
    precpu = {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000, "online_cpus": 2}
    answers["/containers/id-sim/stats"] = (200, _stats(precpu_stats=precpu))
    with run_scripted_engine(answers, version=version) as engine:
        (container,) = _ask(engine.url).containers
    (query,) = [query for path, query in engine.asked if path.endswith("/stats")]
    assert query.get("one-shot") == one_shot
    assert query["stream"] == ["False"]
    assert container.usage is not None
    assert container.usage.cpu_before is not None


def test_stopped_containers_are_not_measured() -> None:
    answers = _answers("sim")
    answers["/containers/id-sim/json"] = (200, _inspect("sim", "exited"))
    with run_scripted_engine(answers) as engine:
        (container,) = _ask(engine.url).containers
    assert container.usage is None
    assert not [path for path, _ in engine.asked if path.endswith("/stats")]


def test_include_and_exclude() -> None:
    answers = _answers("shop-1", "shop-2", "other", "quiet")
    answers["/containers/json"] = (
        200,
        [
            _entry("shop-1", **{"com.docker.compose.service": "web", "team": "red"}),
            _entry("shop-2", **{"com.docker.compose.service": "web", "team": "blue"}),
            _entry("other", team="red"),
            _entry("quiet", **{"service": "web", "team": "red", "monitoring": "off"}),
        ],
    )
    with run_scripted_engine(answers) as engine:
        listing = _ask(
            engine.url,
            include={"service": "web", "team": "r*"},
            exclude={"monitoring": "off", "container": "x*"},
        )
        assert [container.name for container in listing.containers] == ["shop-1"]
        assert len(_ask(engine.url).containers) == 4
    asked = [path for path, _ in engine.asked]
    assert asked.count("/containers/id-quiet/json") == 1, "what is left out isn't asked about"


def test_within_airflow_the_hook_is_used_and_one_engine_does_not_wait_for_another(
    hung: str, tmp_path: Path
) -> None:
    with run_scripted_engine(_answers("sim")) as engine:
        done = subprocess.run(
            [sys.executable, _WITHIN_AIRFLOW, "2", hung, engine.url, f"unix://{tmp_path}/none"],
            env={**os.environ, "AIRFLOW_HOME": str(tmp_path / "airflow")},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    first, second, third = json.loads(done.stdout.splitlines()[-1])
    assert f"{hung} did not answer within 2 s" in first
    assert second == ["sim"]
    assert "can't be reached: No such file or directory" in third


@pytest.mark.nightly
def test_two_hundred_containers_take_less_than_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On an engine that takes 0.8 s for each, 32 at once: see the benchmark."""
    monkeypatch.setattr("sys.argv", ["containers"])
    assert measure_many_containers() == 0
