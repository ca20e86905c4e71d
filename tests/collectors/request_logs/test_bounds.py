"""What a collection reads, and what memory it takes."""

from __future__ import annotations

import gzip
import io
import os
import random
from collections import defaultdict
from pathlib import Path
from typing import IO, Any

import pytest

from benchmarks.processes import run_module
from tests.collectors.request_logs import gateway_log as log
from userdb.store import Store


@pytest.fixture
def read_of(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Bytes that the system was asked for, by the name of the file."""
    counts: dict[str, int] = defaultdict(int)

    class Counting(io.FileIO):
        def readinto(self, buffer: Any) -> int:
            number = super().readinto(buffer) or 0
            counts[Path(str(self.name)).name] += number
            return number

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(-1 if size is None else size) or b""
            counts[Path(str(self.name)).name] += len(data)
            return data

        def readall(self) -> bytes:
            return self.read()

    whole = Path.open

    def opened(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> IO[Any]:
        if mode == "rb" and path.name.startswith("access.log"):
            return io.BufferedReader(Counting(path))
        return whole(path, mode, *arguments, **named)

    monkeypatch.setattr(Path, "open", opened)
    return counts


def test_a_long_window_reads_each_file_once(
    sqlite_store: Store, tmp_path: Path, read_of: dict[str, int]
) -> None:
    source = random.Random(1)
    for name, first in (("access.log.2.gz", 0), ("access.log.1", 480), ("access.log", 960)):
        data = b"".join(
            log.Line(first + number / 16, path=f"/{source.randbytes(200).hex()}").json()
            for number in range(480 * 16)
        )
        (tmp_path / name).write_bytes(gzip.compress(data, 1) if name.endswith("gz") else data)
        os.utime(tmp_path / name, (log.at(first + 480).timestamp(),) * 2)

    report = log.collect(
        sqlite_store, log.settings(tmp_path, keep="none", route={"template": False}), 0, 24 * 60
    )

    assert report.ok
    assert report.rows == 24 * 60 * 16
    # beside all of it, the first 256 KiB and what searching for the range takes
    for path in tmp_path.glob("access.log*"):
        assert 1 <= read_of[path.name] / path.stat().st_size < 1.4, path.name


def test_a_short_window_reads_little_of_a_plain_file(
    sqlite_store: Store, tmp_path: Path, read_of: dict[str, int]
) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"".join(log.Line(number / 20).json() for number in range(24 * 1200)))
    for first in (0, 700, 1430):
        read_of.clear()
        report = log.collect(sqlite_store, log.settings(tmp_path, keep="none"), first, first + 5)
        assert report.rows == 100
        assert read_of["access.log"] < path.stat().st_size / 5


def test_memory_does_not_grow_with_a_packed_file(tmp_path: Path) -> None:
    """All of it must be read to find the last five minutes."""
    peaks = []
    for megabytes in (60, 240):
        path = tmp_path / f"{megabytes}.log.gz"
        line = log.Line(0, path="/" + "x" * 2000).json()
        with gzip.open(path, "wb", compresslevel=1) as file:
            for _ in range(megabytes):
                file.write(line * (10**6 // len(line)))
            file.write(log.lines(range(60, 120)))
        os.utime(path, (log.at(120).timestamp(),) * 2)
        used, told = run_module(
            "benchmarks.collect_once",
            f"sqlite:///{tmp_path}/{megabytes}.sqlite",
            *("nginx_json", log.at(115).isoformat(), log.at(120).isoformat(), str(path)),
        )
        assert told["rows"] == 5
        peaks.append(used.peak_mib)
    # 180 MB more, and both are many blocks; what varies is the allocator's
    assert peaks[1] < peaks[0] + 100
