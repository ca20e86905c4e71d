"""`make demo` and `make up` as a user starts and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from demo.processes import ROOT


@contextmanager
def _started(folder: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", "--folder", str(folder), *options],
        cwd=ROOT,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        # only a test that fails leaves something to end
        for left in _descendants(process) | _of(folder):
            with suppress(psutil.NoSuchProcess):
                left.kill()
        process.kill()
        process.wait()


def _read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it never said {text!r}:\n{said}")


def _descendants(process: subprocess.Popen[str]) -> set[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return set(psutil.Process(process.pid).children(recursive=True))
    return set()


def _of(folder: Path) -> set[psutil.Process]:
    """Every process that was started for the demo in ``folder``, whoever its parent is now."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("DEMO_FOLDER") == str(folder):
                found.add(process)
    return found


def _living(processes: set[psutil.Process]) -> list[psutil.Process]:
    living = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


@pytest.mark.airflow
@pytest.mark.parametrize(
    ("number", "after_s"),
    [(signal.SIGINT, 0.0), (signal.SIGTERM, 5.0)],
    ids=["Ctrl-C at once", "TERM while Airflow starts"],
)
def test_it_can_be_ended_at_any_time(
    tmp_path: Path, number: signal.Signals, after_s: float
) -> None:
    with _started(tmp_path, "--without-nginx") as process:
        said = _read_until(process, " traffic ")
        time.sleep(after_s)
        started = _descendants(process) | _of(tmp_path)
        assert len(started) >= 2, said

        process.send_signal(number)
        process.send_signal(number)  # an impatient second time changes nothing
        said, _ = process.communicate(timeout=60)

        assert process.returncode == 130, said
        assert "nothing that was started is left" in said
        assert _living(started | _of(tmp_path)) == []


@pytest.mark.e2e
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_demo_gives_what_its_incident_should_give(tmp_path: Path) -> None:
    with _started(tmp_path) as process:
        said, _ = process.communicate(timeout=850)

        assert process.returncode == 0, said
        assert "Everything is as it should be" in said
        for title in (
            "What was collected",
            "Alerts that opened and resolved",
            "Webhooks received",
        ):
            assert title in said
        assert _living(_of(tmp_path)) == []


@pytest.mark.e2e
@pytest.mark.nightly
def test_up_stays_until_it_is_stopped_and_can_be_started_again(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with _started(tmp_path, "--up", "--without-nginx") as process:
            said = _read_until(process, "Ctrl-C stops everything")
            assert "password" in said
            time.sleep(2)
            started = _descendants(process) | _of(tmp_path)
            process.send_signal(number)
            said, _ = process.communicate(timeout=60)

            assert process.returncode == 0, said
            assert _living(started | _of(tmp_path)) == []


@pytest.mark.e2e
@pytest.mark.nightly
def test_where_postgresql_can_not_run_airflow_is_on_sqlite(tmp_path: Path) -> None:
    # no socket has a path of more than 107 characters
    temporary = tmp_path / ("t" * 100)
    temporary.mkdir()
    with _started(tmp_path / "demo", "--without-nginx", TMPDIR=str(temporary)) as process:
        said = _read_until(process, "password")
        assert "its metadata is on SQLite, not PostgreSQL" in said

        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)

        assert process.returncode == 130, said
        assert _living(_of(tmp_path / "demo")) == []
