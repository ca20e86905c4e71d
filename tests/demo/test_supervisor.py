"""A real Airflow is started, and nothing of it is left. A start costs 15 s: there are few."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from demo.airflow_environment import inherited_environment
from demo.supervisor import AirflowServer, AirflowStartError

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).resolve().parents[2]

#: Starts Airflow in the folder that it is given, says so step by step, and never stops it.
_STARTER = """
import signal, sys
from pathlib import Path
from demo.supervisor import AirflowServer

# in the background of a script SIGINT is ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
server = AirflowServer(Path(sys.argv[1]))
print(server.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].partition("host=")[2], flush=True)
server.start(lambda step: print(step, flush=True))
"""


def processes_of(home: Path) -> list[psutil.Process]:
    """Every living process whose current folder is ``home``: components, workers and tasks."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(home):
                found.append(process)
    return found


def members_of(group: int) -> list[psutil.Process]:
    """Every living process of a process group. One that ended is none, even where nobody has
    asked yet how it ended: an orphan stays a zombie for as long as init takes."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until(ready: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_it_starts_after_an_interrupted_start_and_leaves_nothing(
    tmp_path: Path, taken_port: int
) -> None:
    home = tmp_path / "airflow"
    metadata = _start_and_signal(home, "Airflow's components", signal.SIGINT)
    assert processes_of(home) == []
    assert not metadata.exists()

    server = AirflowServer(
        home, port=taken_port, env={"MONITORING_SCHEDULE": "none", "USERDB_URL": "sqlite://"}
    )
    with server:
        assert server.port != taken_port
        assert server.api.get("/version")["version"].startswith("3.")
        listening = {
            connection.laddr.ip
            for process in processes_of(home)
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
        components = [p for p in processes_of(home) if p.ppid() == os.getpid()]
        assert len({os.getpgid(p.pid) for p in components}) == 1
        assert _seen_by_bin_airflow(server) == str(server.port)

        # a task's process has a group of its own, which a signal to the components' misses
        assert wait_until(lambda: server.api.get("/dags")["total_entries"] >= 1, 30)
        server.api.post("/dags/monitoring_chain/dagRuns", {"logical_date": None})
        group = os.getpgid(components[0].pid)
        assert wait_until(lambda: {os.getpgid(p.pid) for p in processes_of(home)} - {group}, 30)
    assert processes_of(home) == []
    assert members_of(group) == []
    assert not server.environment_file.exists()


def test_its_components_end_where_it_is_killed(tmp_path: Path) -> None:
    home = tmp_path / "airflow"
    metadata = _start_and_signal(home, "metadata database", signal.SIGKILL)
    assert wait_until(lambda: not processes_of(home) and not metadata.exists(), 15)


def test_a_component_that_ends_at_start_is_shown_with_its_log(tmp_path: Path) -> None:
    broken = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "nonsense:///nowhere"}
    server = AirflowServer(tmp_path / "airflow", metadata="sqlite", env=broken)
    with pytest.raises(AirflowStartError, match=r"(?s)db-migrate ended with code 1;.*nonsense"):
        server.start()
    assert processes_of(server.home) == []


def test_it_sees_nothing_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW_CONN_USERDB", "AIRFLOW__CORE__DAGS_FOLDER", "USERDB_URL", "MONITORING_X"):
        monkeypatch.setenv(name, "the user's own")
    server = AirflowServer(tmp_path / "airflow", env={"USERDB_URL": "sqlite://"})
    assert "the user's own" not in server.environment.values()
    assert server.environment["USERDB_URL"] == "sqlite://"
    assert list(tmp_path.iterdir()) == []


def _start_and_signal(home: Path, step: str, number: signal.Signals) -> Path:
    """Start a supervisor, signal it a second after it announced ``step``; the metadata's folder."""
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(home)],
        cwd=ROOT,
        env=inherited_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        metadata = Path(starter.stdout.readline().strip())
        while (said := starter.stdout.readline().strip()) != step:
            assert said, f"it ended before {step}"
        time.sleep(1)
        assert metadata.exists()
        starter.send_signal(number)
        assert starter.wait(30) != 0
    return metadata


def _seen_by_bin_airflow(server: AirflowServer) -> str:
    """The port that ``bin/airflow`` is configured with, from another folder."""
    return subprocess.run(
        [str(ROOT / "bin" / "airflow"), "config", "get-value", "api", "port"],
        cwd="/",
        env={**inherited_environment(), "AIRFLOW_ENVIRONMENT_FILE": str(server.environment_file)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()
