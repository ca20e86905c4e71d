"""Containers of the demo, on a real engine; and what is said where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.containers import RUN_S, Containers, NoRuntime
from tests.servers.docker import DockerServer, run_docker


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerServer]:
    with run_docker() as server:
        yield server


def test_without_an_engine_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoRuntime, match=r"no Docker Engine answers at unix://.*absent\.sock"):
        Containers(f"unix://{tmp_path}/absent.sock")


def test_the_engine_is_the_one_that_docker_host_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    with pytest.raises(NoRuntime, match=r"tcp://127\.0\.0\.1:1"):
        Containers()


@pytest.mark.docker
@pytest.mark.parametrize("run_s", [1, pytest.param(RUN_S, marks=pytest.mark.nightly)])
def test_a_container_restarts_as_long_as_it_is_made_to(engine: DockerServer, run_s: int) -> None:
    containers = Containers(engine.url, run_s=run_s)
    try:
        assert "running" in engine.docker("inspect", containers.healthy)
        containers.crash(True)
        deadline = time.monotonic() + 60
        while containers.restarts() < 2 and time.monotonic() < deadline:
            time.sleep(0.5)
        containers.crash(False)
        after = containers.restarts()
        time.sleep(run_s + 2)  # as long as it would take to crash again

        assert after >= 2
        assert containers.restarts() <= after + 1
        assert engine.inspect(containers.fragile)["State"]["Running"]
        assert engine.inspect(containers.healthy)["RestartCount"] == 0
    finally:
        containers.stop()
    assert containers.prefix not in engine.docker("ps", "--all")
    assert containers.prefix not in engine.docker("images")


@pytest.mark.docker
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no"), (b"\x7fELF\x00/lib64/ld-linux-x86-64.so.2\x00", "is not static")],
)
def test_without_a_static_busybox_that_is_said(
    engine: DockerServer, tmp_path: Path, content: bytes | None, said: str
) -> None:
    busybox = tmp_path / "busybox"
    if content is not None:
        busybox.write_bytes(content)

    with pytest.raises(NoRuntime, match=f"{said}.*apt-get install busybox-static"):
        Containers(engine.url, busybox)


@pytest.mark.docker
def test_an_engine_that_can_not_run_the_image_is_said(engine: DockerServer, tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"of another machine")

    with pytest.raises(NoRuntime, match="can't run a container"):
        Containers(engine.url, busybox)
    assert "monitoring-demo" not in engine.docker("ps", "--all")
    assert "monitoring-demo" not in engine.docker("images")
