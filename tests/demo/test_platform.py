"""The platform comes up where a port is taken or nginx fails, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import requests

from demo.platform import Platform
from demo.processes import LOOPBACK, Child, StartError, free_port, is_free
from userdb.models import MonitorEvent
from userdb.store import Store


def _taken_port() -> socket.socket:
    taken = socket.socket()
    taken.bind((LOOPBACK, 0))
    taken.listen()
    return taken


def test_a_port_that_is_taken_is_not_used(tmp_path: Path, environment: dict[str, str]) -> None:
    with closing(_taken_port()) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert free_port(port) != port
        with Platform(tmp_path, env=environment, preferred_port=port, use_nginx=False) as platform:
            assert platform.port != port
            assert any(f"port {port} is in use" in remark for remark in platform.remarks)


def test_the_preferred_port_is_used_where_it_is_free(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    port = free_port()
    with Platform(tmp_path, env=environment, preferred_port=port, use_nginx=False) as platform:
        assert platform.port == port
        assert not any("in use" in remark for remark in platform.remarks)


def test_the_built_in_gateway_takes_the_place_of_an_nginx_that_fails(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    broken = tmp_path / "nginx"
    broken.write_text("#!/bin/sh\necho no such directive; exit 1\n")
    broken.chmod(0o755)
    with Platform(tmp_path, env=environment, preferred_port=0, nginx=str(broken)) as platform:
        assert platform.gateway == "built-in gateway"
        assert any("no such directive" in remark for remark in platform.remarks)


def test_nothing_is_left_when_it_has_ended(own_platform: Platform) -> None:
    processes = [psutil.Process(child.process.pid) for child in own_platform.processes()]
    processes += [below for process in processes for below in process.children(recursive=True)]
    assert len(processes) >= 2

    own_platform.stop()

    assert not any(process.is_running() for process in processes)
    assert is_free(own_platform.port)
    assert is_free(own_platform.upstream_port)


def test_a_failed_simulation_is_reported_to_userdb(
    own_platform: Platform, sqlite_store: Store
) -> None:
    own_platform.set_faults(["runs-fail"])
    requests.post(f"{own_platform.url}/simulations/", json={}, timeout=30)

    with sqlite_store.read() as connection:
        (event,) = connection.execute(MonitorEvent.__table__.select()).mappings()
    assert event["service"] == "sim-runner"
    assert event["event_type"] == "gateway"
    assert event["level"] == "error"
    assert "residual" in event["message"]


def test_unknown_faults_are_refused(platform: Platform) -> None:
    with pytest.raises(requests.HTTPError, match="400"):
        platform.set_faults(["no-such-fault"])


def test_a_child_that_ignores_term_is_killed_with_its_own_children(tmp_path: Path) -> None:
    stubborn = "import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN); "
    stubborn += "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)']); "
    child = Child.start("stubborn", [sys.executable, "-c", stubborn + "time.sleep(99)"], tmp_path)
    top = psutil.Process(child.process.pid)
    deadline = time.monotonic() + 10
    while not top.children() and time.monotonic() < deadline:
        time.sleep(0.05)
    (below,) = top.children()

    child.stop(patience=0.5)

    assert not below.is_running() or below.status() == psutil.STATUS_ZOMBIE
    with pytest.raises(ProcessLookupError):
        os.kill(child.process.pid, signal.SIGTERM)


def test_a_child_that_ends_says_why(tmp_path: Path) -> None:
    child = Child.start("brief", ["sh", "-c", "echo the reason; exit 3"], tmp_path)

    with pytest.raises(StartError, match=r"brief ended with code 3: the reason"):
        child.wait_until(lambda: False)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no-such-program"):
        Child.start("absent", ["no-such-program"], tmp_path)
