"""A compressed file that ends before a window is decompressed once, and the rows stay the same."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from include.collectors.request_logs import blocks
from include.collectors.request_logs.files import LogFile
from tests.collectors.request_logs import gateway_log as log
from userdb.store import Store, open_store


@pytest.fixture
def decompressed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Bytes that come out of compressed files beyond their heads, by the file's name."""
    counts: dict[str, int] = {}
    opened = LogFile.stream

    class Counted:
        def __init__(self, name: str, stream: Any) -> None:
            self._name, self._stream = name, stream

        def read(self, size: int) -> bytes:
            data: bytes = self._stream.read(size)
            counts[self._name] = counts.get(self._name, 0) + len(data)
            return data

        def read1(self, size: int) -> bytes:
            return self._stream.read1(size)  # type: ignore[no-any-return]

    def stream(file: LogFile) -> BinaryIO:
        found: Any = opened(file)
        return Counted(file.path.name, found) if file.compressed else found  # type: ignore[return-value]

    monkeypatch.setattr(LogFile, "stream", stream)
    return counts


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of more than one block without 16 MiB each."""
    monkeypatch.setattr(blocks.read_blocks, "__defaults__", (64 << 10,))


def pack(path: Path, data: bytes) -> None:
    path.write_bytes(gzip.compress(data, mtime=0))


def rotate(folder: Path) -> dict[str, int]:
    """A log that was rotated at minute 30, gzipped at once; bytes of the gzipped one."""
    old = log.lines(minute / 20 for minute in range(600))
    assert len(old) > 2 * (64 << 10)
    pack(folder / "access.log.1.gz", old)
    os.utime(folder / "access.log.1.gz", (log.at(30).timestamp(),) * 2)
    (folder / "access.log").write_bytes(log.lines(30 + minute / 20 for minute in range(1200)))
    return {"access.log.1.gz": len(old)}


def test_live_windows_after_a_rotation_decompress_the_old_file_until_they_are_past_it(
    store: Store, tmp_path: Path, decompressed: dict[str, int]
) -> None:
    whole = rotate(tmp_path)
    by_window = {}
    for first in (25, 35, 40, 50, 85):
        decompressed.clear()
        report = log.collect(store, log.settings(tmp_path), first, first + 5)
        assert report.ok
        by_window[first] = dict(decompressed)
    # until ``lateness`` (10 min) before a window lies past the last line
    assert by_window == {25: whole, 35: whole, 40: {}, 50: {}, 85: {}}
    found = log.requests_by_minute(store)
    assert found == dict.fromkeys([*range(15, 55), *range(75, 90)], 20)


def test_single_windows_of_a_backfill_decompress_older_files_once(
    sqlite_store: Store, tmp_path: Path, decompressed: dict[str, int]
) -> None:
    whole = rotate(tmp_path)
    # copied here: when they were written tells nothing
    for path in tmp_path.iterdir():
        os.utime(path, (log.NOW.timestamp(),) * 2)
    for first in (80, 65):
        log.collect(sqlite_store, log.settings(tmp_path), first, first + 5)
    assert decompressed == whole
    decompressed.clear()
    log.collect(sqlite_store, log.settings(tmp_path), 25, 30)
    assert decompressed == whole


@pytest.mark.parametrize(
    "change",
    [{"lateness": "20m"}, {"timezone": "Asia/Shanghai"}],
)
def test_who_reads_it_in_another_way_reads_it(
    sqlite_store: Store, tmp_path: Path, decompressed: dict[str, int], change: dict[str, str]
) -> None:
    whole = rotate(tmp_path)
    settings = log.settings(tmp_path)
    log.collect(sqlite_store, settings, 60, 65)
    decompressed.clear()
    log.collect(sqlite_store, settings, 60, 65)
    assert decompressed == {}
    document = settings.model_dump(mode="json", exclude_unset=True)
    of = document["request_logs"]
    (of if "lateness" in change else of["sources"][0]).update(change)
    log.collect(sqlite_store, type(settings).model_validate(document), 60, 65)
    assert decompressed == whole


def _hostile(source: random.Random, first: float, number: int) -> bytes:
    """Lines in disorder, some an hour off as where a clock was stepped, some garbage."""
    found = []
    for at in range(number):
        step = source.choice([0] * 30 + [-60, 60, 25])
        line = log.Line(first + at / 10 + source.random() * 3 + step, path=f"/{at}")
        found.append(line.json() if source.random() < 0.95 else b"garbage\n")
    return log.Line(first).json() + b"".join(found)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(1, 8))]
)
def test_the_rows_are_those_of_who_remembers_nothing(
    seed: int, tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows in any order over files that change: each report, and what is stored."""
    source = random.Random(seed)
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, first in (("access.log.2.gz", 0), ("access.log.1.gz", 30)):
        pack(folder / name, _hostile(source, first, 300))
    (folder / "access.log").write_bytes(_hostile(source, 60, 300))
    stores = []
    for name in ("remembers", "forgets"):
        path = tmp_path / f"{name}.sqlite"
        shutil.copyfile(sqlite_template, path)
        stores.append(open_store(f"sqlite:///{path}"))
    windows = [(first, first + 5) for first in range(0, 120, 5)]
    order = source.sample(windows, 5) + source.sample(windows, 5)
    for number, (first, stop) in enumerate(order):
        if number == 5:
            # the same size, time and first bytes: another end
            changed = folder / "access.log.1.gz"
            about = changed.stat()
            data = gzip.decompress(changed.read_bytes())
            pack(changed, data[:20_000] + _hostile(source, 30, 250))
            padding = about.st_size - changed.stat().st_size
            with changed.open("ab") as file:
                file.write(bytes(max(padding, 0)))
            os.utime(changed, (about.st_atime, about.st_mtime))
        reports = []
        for store in stores:
            with monkeypatch.context() as patch:
                if store is stores[1]:
                    patch.setattr(
                        "include.collectors.request_logs.file_end.FileEnd.lies_before",
                        lambda *_: False,
                    )
                reports.append(log.collect(store, log.settings(folder), first, stop).sources)
        assert reports[0] == reports[1]
    assert log.contents(stores[0]) == log.contents(stores[1])
    for store in stores:
        store.close()


def test_a_file_of_garbage_fails_in_each_window(sqlite_store: Store, tmp_path: Path) -> None:
    pack(tmp_path / "access.log.1.gz", b"garbage\n" * 2000)
    (tmp_path / "access.log").write_bytes(log.lines(minute for minute in range(60)))
    for _ in range(2):
        report = log.collect(sqlite_store, log.settings(tmp_path), 30, 35)
        (found,) = report.sources
        assert found.status == "failed"
        assert "no line of format" in str(found.message)
