"""What a live window costs in a small log and in a big one.

    python -m benchmarks.live_window [--big 2000] [--runs 5] [--json FILE]

A log of 20 MB and one of ``--big`` MB, of the same traffic (nginx_json, ten requests a second).
Collected are their last five minutes, and five minutes in their middle; then the last five again
beside yesterday's log as a rotation leaves it, gzipped, with as much in it as the other. Every
collection is a process of its own with a new userdb; sizes take turns. The bound is 1.3, for the
medians of seconds. CPU, bytes read and peak memory are beside it.

Last, all of the big log in one window beside 200 MB of it: what memory takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.access_log import Written, write_log
from benchmarks.processes import Used, run_module

BOUND = 1.3
#: Peak memory of the whole big log over that of 200 MB of it.
MEMORY_BOUND = 1.5
_FORMAT = "nginx_json"
_PER_SECOND = 10
_SMALL, _MIDDLE = 20 * 10**6, 200 * 10**6
_FIVE = timedelta(minutes=5)
_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """A line of the table: medians; ``ratio`` to the small log's."""

    window: str
    log_mb: float
    rows: int
    seconds: float
    cpu_s: float
    read_mb: float
    peak_mib: float
    ratio: float


def main(big: int, runs: int, output: Path | None) -> int:
    lines: list[Line] = []
    print("| window | log MB | requests | s | CPU s | MB read | peak MiB | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory(prefix="live-window-") as name:
        folder = Path(name)
        logs = [_write(folder, size, _NOW) for size in (_SMALL, big * 10**6)]
        middle = [one.start + (one.end - one.start) / 2 for one in logs]
        _tell(lines, "last 5 min", folder, [(one, _NOW, [one.path]) for one in logs], runs)
        _tell(
            lines,
            "5 min in the middle",
            folder,
            [
                (one, at.replace(second=0, microsecond=0), [one.path])
                for one, at in zip(logs, middle, strict=True)
            ],
            runs,
        )
        rotated = [
            _write(folder, size, one.start, "rotated.gz")
            for size, one in zip((_SMALL, big * 10**6), logs, strict=True)
        ]
        pairs = [(one, _NOW, [one.path, old.path]) for one, old in zip(logs, rotated, strict=True)]
        _tell(lines, "last 5 min, a gzipped log beside it", folder, pairs, runs)
        for old in rotated:
            old.path.unlink()
        failed = any(line.ratio > BOUND for line in lines)
        part = _write(folder, _MIDDLE, _NOW)
        failed |= _whole(lines, folder, [part, logs[1]])
    if output is not None:
        output.write_text(json.dumps([asdict(line) for line in lines], indent=2) + "\n")
    if failed:
        print(f"\na bound is missed: {BOUND} of seconds, {MEMORY_BOUND} of memory", flush=True)
    return int(failed)


def _write(folder: Path, size: int, end: datetime, suffix: str = "log") -> Written:
    path = folder / f"{size}.{suffix}"
    return write_log(path, _FORMAT, size=size, end=end, per_second=_PER_SECOND, seed=size)


def _tell(
    lines: list[Line],
    window: str,
    folder: Path,
    cases: Sequence[tuple[Written, datetime, list[Path]]],
    runs: int,
) -> None:
    """The medians of ``runs`` collections of five minutes of each case, in turns."""
    used: list[list[Used]] = [[] for _ in cases]
    rows = [0] * len(cases)
    for _ in range(runs):
        for number, (_, end, paths) in enumerate(cases):
            one, rows[number] = _collect(folder, end - _FIVE, end, paths)
            used[number].append(one)
    base = statistics.median(one.seconds for one in used[0])
    for number, (log, _, _) in enumerate(cases):
        _add(lines, window, log, rows[number], used[number], base)


def _whole(lines: list[Line], folder: Path, logs: Sequence[Written]) -> bool:
    """All of each log; whether the peak of the bigger one is too high."""
    base = 0.0
    for log in logs:
        start = log.start.replace(second=0) + timedelta(minutes=1)
        used, rows = _collect(folder, start, log.end, [log.path])
        base = base or used.seconds
        _add(lines, "all of it", log, rows, [used], base)
    return lines[-1].peak_mib / lines[-2].peak_mib > MEMORY_BOUND


def _collect(
    folder: Path, start: datetime, end: datetime, paths: Sequence[Path]
) -> tuple[Used, int]:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        url = f"sqlite:///{own}/userdb.sqlite"
        texts = [start.isoformat(), end.isoformat(), *map(str, paths)]
        used, told = run_module("benchmarks.collect_once", url, _FORMAT, *texts)
    return used, int(told["rows"])


def _add(
    lines: list[Line], window: str, log: Written, rows: int, used: Sequence[Used], base: float
) -> None:
    seconds = statistics.median(one.seconds for one in used)
    line = Line(
        window,
        log.size / 1e6,
        rows,
        seconds,
        statistics.median(one.cpu_s for one in used),
        statistics.median(one.bytes_read or 0 for one in used) / 1e6,
        max(one.peak_mib for one in used),
        seconds / base,
    )
    lines.append(line)
    print(
        f"| {line.window} | {line.log_mb:,.0f} | {line.rows:,} | {line.seconds:.2f} "
        f"| {line.cpu_s:.2f} | {line.read_mb:.1f} | {line.peak_mib:.0f} | {line.ratio:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A live window of a small log and a big one")
    parser.add_argument("--big", type=int, default=2000, help="MB of the big log")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    given = parser.parse_args()
    sys.exit(main(given.big, given.runs, given.json))
