"""Groups end with everything that their members started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from demo.process_group import ProcessGroup

ROOT = Path(__file__).resolve().parents[2]

_OWNER = """
import sys, time
from pathlib import Path
from demo.process_group import ProcessGroup

folder = Path(sys.argv[1])
group = ProcessGroup(folder / "data")
child = group.spawn(["sleep", "300"], cwd=folder, env={}, log=folder / "log")
print(child.pid, flush=True)
time.sleep(300)
"""


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ProcessGroup]:
    group = ProcessGroup(tmp_path / "data")
    yield group
    group.close()


def spawn(group: ProcessGroup, script: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a Python script and wait until it has created ``ready``."""
    child = group.spawn(
        [sys.executable, "-c", f"import os, signal, time\n{script}"],
        cwd=folder,
        env=os.environ,
        log=folder / "log",
    )
    deadline = time.monotonic() + 20
    while not (folder / "ready").exists():
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.02)
    return child


def living_in(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder):
                found.append(process.name())
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("apart", ["os.setpgid(0, 0)", "os.setsid()"])
def test_descendants_with_groups_of_their_own_end(
    group: ProcessGroup, tmp_path: Path, apart: str
) -> None:
    spawn(
        group,
        f"if os.fork() == 0:\n    {apart}\n    open('ready', 'w')\ntime.sleep(300)",
        tmp_path,
    )
    assert len(living_in(tmp_path)) == 2
    group.end(patience=5)
    assert living_in(tmp_path) == []


def test_one_that_ignores_term_is_killed(group: ProcessGroup, tmp_path: Path) -> None:
    spawn(
        group,
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w'); time.sleep(300)",
        tmp_path,
    )
    group.end(patience=0.3)
    assert living_in(tmp_path) == []


def test_one_that_starts_others_all_the_time_leaves_none(
    group: ProcessGroup, tmp_path: Path
) -> None:
    spawn(
        group,
        "open('ready', 'w')\n"
        "for _ in range(2000):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid(); time.sleep(300)\n"
        "    time.sleep(0.002)\n",
        tmp_path,
    )
    group.end(patience=5)
    assert living_in(tmp_path) == []


def test_a_spared_member_lives_until_the_group_is_closed(
    group: ProcessGroup, tmp_path: Path
) -> None:
    spared = spawn(group, "open('ready', 'w'); time.sleep(300)", tmp_path)
    group.end(patience=1, spared=[spared.pid])
    assert spared.poll() is None
    group.close()
    assert living_in(tmp_path) == []


def test_members_end_and_the_folder_goes_where_the_owner_is_killed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline()
        assert living_in(tmp_path) == ["sleep"]
        owner.kill()
    deadline = time.monotonic() + 15
    while living_in(tmp_path) or (tmp_path / "data").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
