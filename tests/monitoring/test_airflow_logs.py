"""Old log files of Airflow are deleted, on real folders."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.airflow_logs import Deleted, _Sweep, delete_old_logs

from userdb.errors import ConfigError

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
KEEP = 30 * DAY
OLD = KEEP + HOUR
#: AIRFLOW_HOME in tests that aren't about it.
HOME = Path("/nowhere/airflow")


def aged(path: Path, age: timedelta) -> Path:
    """Set when a file, folder or link was written."""
    at = (NOW - age).timestamp()
    os.utime(path, (at, at), follow_symlinks=False)
    return path


def written(path: Path, age: timedelta, text: str = "a line\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return aged(path, age)


def made_old(folder: Path) -> None:
    """Whatever is in it, and the folder itself."""
    for path in [*folder.rglob("*"), folder]:
        aged(path, OLD)


def clean(folder: Path) -> Deleted:
    return delete_old_logs(folder, keep=KEEP, now=NOW, home=HOME)


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


ages = st.sampled_from([0, 1, 23, 25, 24 * 29, 24 * 30 - 1, 24 * 30 + 1, 24 * 400])
parents = st.lists(st.sampled_from(["a", "b"]), max_size=3).map("/".join)
files = st.dictionaries(st.tuples(parents, st.sampled_from(["x.log", "y"])), ages, max_size=6)


@given(files=files, folders=st.dictionaries(parents.filter(bool), ages, max_size=6))
def test_what_is_old_goes_and_all_else_stays(
    files: dict[tuple[str, str], int], folders: dict[str, int]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        hours = {base / parent / file: age for (parent, file), age in files.items()}
        for path, age in hours.items():
            written(path, age * HOUR)
        for folder in folders:
            (base / folder).mkdir(parents=True, exist_ok=True)
        present = {path for path in base.rglob("*") if path.is_dir()}
        ages = {path: folders.get(str(path.relative_to(base)), 25) for path in present}
        for path, age in ages.items():
            aged(path, age * HOUR)

        kept = {path for path, age in hours.items() if age * HOUR < KEEP}
        stays = kept | {path for path, age in ages.items() if age * HOUR < DAY}
        for path in tuple(stays):
            stays |= {above for above in path.parents if above in present}

        deleted = clean(base)
        assert left(base) == {str(path.relative_to(base)) for path in stays}
        gone = len(hours) - len(kept)
        assert deleted == Deleted(
            files=gone, folders=len(present - stays), bytes=gone * len("a line\n"), failed=0
        )
        assert clean(base) == Deleted()


def test_a_folder_that_was_emptied_just_now_goes_a_day_later(tmp_path: Path) -> None:
    # a file of it was deleted an hour ago, the other one is due now
    folder = written(tmp_path / "run" / "attempt=2.log", OLD).parent
    aged(folder, HOUR)
    assert clean(tmp_path) == Deleted(files=1, bytes=7)
    assert left(tmp_path) == {"run"}
    delete_old_logs(tmp_path, keep=KEEP, now=datetime.now(UTC) + DAY, home=HOME)
    assert left(tmp_path) == set()


def test_nothing_is_deleted_through_a_link(tmp_path: Path) -> None:
    logs, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    kept = written(elsewhere / "old.log", OLD)
    (logs / "day").mkdir(parents=True)
    (logs / "folder").symlink_to(elsewhere)
    (logs / "file.log").symlink_to(kept)
    (logs / "day" / "up").symlink_to("..")
    os.mkfifo(logs / "pipe")
    made_old(tmp_path)
    assert clean(logs) == Deleted()
    assert kept.exists()
    assert left(logs) == {"day", "day/up", "folder", "file.log", "pipe"}


def test_a_folder_that_became_a_link_after_it_was_seen_is_not_entered(tmp_path: Path) -> None:
    logs, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    kept = written(elsewhere / "old.log", OLD)
    (logs / "run").mkdir(parents=True)
    made_old(tmp_path)
    descriptor = os.open(logs, os.O_RDONLY)
    try:
        with os.scandir(descriptor) as entries:
            (entry,) = entries
        entry.stat(follow_symlinks=False)  # remembered
        (logs / "run").rmdir()
        (logs / "run").symlink_to(elsewhere)
        with pytest.raises(NotADirectoryError):
            _Sweep(before=NOW, settled=NOW)._gone(entry, descriptor, str(logs))
    finally:
        os.close(descriptor)
    assert kept.exists()


def test_links_to_a_day_that_was_deleted_go_too(tmp_path: Path) -> None:
    folder = tmp_path / "dag_processor"
    written(folder / "2020-01-01" / "dags-folder" / "a.py.log", OLD)
    written(folder / "2020-02-02" / "dags-folder" / "a.py.log", HOUR)
    for name, target in {
        "latest": "2020-01-01",
        "current": "2020-02-02",
        "fresh": "2019-12-31",
        # a volume that isn't mounted now, for example
        "mounted": "/mnt/nowhere/logs",
    }.items():
        (folder / name).symlink_to(target)
    made_old(folder / "2020-01-01")
    for name in ("latest", "current", "mounted"):
        aged(folder / name, 2 * DAY)
    # the link may be looked at before the day that it names
    assert clean(tmp_path).folders == 2
    clean(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"2020-02-02", "current", "fresh", "mounted"}


def test_the_log_folder_may_be_a_link_and_stays_when_it_is_empty(tmp_path: Path) -> None:
    written(tmp_path / "volume" / "dag_id=a" / "attempt=1.log", OLD)
    (tmp_path / "volume" / "lost+found").mkdir()
    made_old(tmp_path / "volume")
    (tmp_path / "logs").symlink_to("volume")
    assert clean(tmp_path / "logs") == Deleted(files=1, folders=1, bytes=7)
    assert left(tmp_path / "volume") == {"lost+found"}


def test_two_at_once_delete_each_file_once_and_neither_fails(tmp_path: Path) -> None:
    for number in range(1500):
        written(tmp_path / f"run_id={number}" / "task_id=a" / "attempt=1.log", OLD)
    made_old(tmp_path)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(clean, [tmp_path, tmp_path])
    assert first.files + second.files == 1500
    assert (first.failed, second.failed) == (0, 0)
    assert left(tmp_path) == set()


def test_a_folder_in_which_a_log_was_begun_meanwhile_stays(tmp_path: Path) -> None:
    written(tmp_path / "run" / "attempt=1.log", HOUR)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert not _Sweep(before=NOW, settled=NOW)._removed("run", descriptor)
    finally:
        os.close(descriptor)
    assert left(tmp_path) == {"run", "run/attempt=1.log"}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights, where the tests have them."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A log folder that anybody may enter: tmp_path is none."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        logs = Path(name) / "logs"
        logs.mkdir(mode=0o755)
        yield logs
        for folder in logs.rglob("*/"):
            folder.chmod(0o755)


def test_what_can_not_be_deleted_is_counted_and_all_else_goes(
    shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder, mode in (("a", 0o555), ("b", 0o777), ("c", 0)):
        written(shared / folder / "1.log", OLD)
        written(shared / folder / "2.log", OLD)
        aged(shared / folder, OLD)
        (shared / folder).chmod(mode)
    with as_nobody(), caplog.at_level(logging.WARNING):
        deleted = clean(shared)
    # both files of the first, the second itself, as its parent isn't nobody's, and the third
    assert deleted == Deleted(files=2, bytes=14, failed=4)
    assert left(shared) == {"a", "a/1.log", "a/2.log", "b", "c", "c/1.log", "c/2.log"}
    (line,) = caplog.messages
    assert line.startswith(f"4 files or folders can't be deleted, the first: {shared}/")
    assert line.endswith(": Permission denied")


def test_where_nothing_can_be_deleted_it_fails(shared: Path) -> None:
    written(shared / "a.log", OLD)
    with as_nobody(), pytest.raises(ConfigError) as refused:
        clean(shared)
    assert str(refused.value) == (
        f"1 files or folders can't be deleted, the first: {shared}/a.log: Permission denied; let "
        f"the user who runs tasks write below {shared}"
    )
    shared.chmod(0)
    with as_nobody(), pytest.raises(ConfigError, match="Permission denied; make it a folder that"):
        clean(shared)


def test_a_log_folder_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = written(tmp_path / "logs" / "old.log", OLD)
    for relative in ("logs", "{AIRFLOW_HOME}/logs", ""):
        with pytest.raises(ConfigError, match="make it an absolute path"):
            clean(Path(relative))
    with pytest.raises(ConfigError, match="Not a directory"):
        clean(kept)
    (tmp_path / "home").symlink_to("logs")
    for folder in (tmp_path, tmp_path / "logs", tmp_path / "home"):
        with pytest.raises(ConfigError, match=r"AIRFLOW_HOME .* is in it"):
            delete_old_logs(folder, keep=KEEP, now=NOW, home=tmp_path / "logs")
    assert kept.exists()
    with caplog.at_level(logging.INFO):
        assert clean(tmp_path / "none") == Deleted()
    assert f"there is no folder {tmp_path}/none on this machine" in caplog.messages
