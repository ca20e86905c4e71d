"""From a log file to committed rows: lines per second, beside a floor, goaccess and plain Python.

    python -m benchmarks.request_logs [--lines 300000] [--runs 3] [--json FILE]

The same requests as nginx_json and nginx_combined, into SQLite and MariaDB: raw rows, and counts
per minute, route and instance. Every way is a process of its own and a new userdb; ways take
turns; told are medians. Starting Python and its imports is not counted.

The floor is the parser alone plus the load alone: the same rows, encoded beforehand, inserted by
``executemany`` (SQLite) or LOAD DATA LOCAL (MariaDB). The goal is 70 % of it. goaccess counts the
same requests in memory and stores no row, so it is comparable in what it reads alone. The plain
loop is ``json`` or ``re``, and ``executemany``. CPU of MariaDB's server is beside that of the
process. ``ratio`` is that of the collector's lines per second to the line's.

Needs mariadbd (apt-get install mariadb-server) and, for its line, goaccess (apt-get install
goaccess).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.access_log import FORMATS, Written, write_log
from benchmarks.processes import Used, process_cpu_s, run_measured, run_module
from tests.servers.mariadb import MariaDbServer, run_mariadb

GOAL = 0.7
_PER_SECOND = 200
_END = datetime(2026, 3, 1, tzinfo=UTC)
#: About the bytes of a line: how long a log is asked for.
_LINE_BYTES = {"nginx_json": 437, "nginx_combined": 157}
_GOACCESS = {
    "nginx_json": (
        '--log-format={"time":"%x.%^","request_id":"%^","remote_addr":"%h","remote_user":"%^",'
        '"request_method":"%m","host":"%v","request_uri":"%U","status":"%s",'
        '"body_bytes_sent":"%b","request_time":"%T","upstream_addr":"%^",'
        '"upstream_status":"%^","upstream_response_time":"%^","http_user_agent":"%u"}',
        "--datetime-format=%s",
    ),
    "nginx_combined": ("--log-format=COMBINED",),
}
_PREPARE = "import sys; from userdb.migrate import upgrade; from userdb.store import open_store; "
_PREPARE += "upgrade(open_store(sys.argv[1]))"


@dataclass(frozen=True)
class Line:
    """A line of the table: medians."""

    database: str
    log_format: str
    way: str
    lines_per_s: float
    cpu_s: float
    database_cpu_s: float
    peak_mib: float
    ratio: float


@dataclass(frozen=True)
class Database:
    name: str
    folder: Path
    server: MariaDbServer | None

    def url(self) -> str:
        """Of a new userdb, whose tables are made."""
        if self.server is None:
            for file in self.folder.glob("userdb.sqlite*"):
                file.unlink()
            url = f"sqlite:///{self.folder}/userdb.sqlite"
        else:
            url = self.server.create_database("userdb")
        run_measured([sys.executable, "-c", _PREPARE, url])
        return url

    def cpu_s(self) -> float:
        return 0.0 if self.server is None else process_cpu_s(self.server.pid)


def main(lines: int, runs: int, output: Path | None) -> int:
    if shutil.which("goaccess") is None:
        print("goaccess is not installed, and has no line: apt-get install goaccess\n")
    print("| database | format | way | lines/s | CPU s | database CPU s | peak MiB | ratio |")
    print("|---|---|---|---:|---:|---:|---:|---:|", flush=True)
    told: list[Line] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="request-logs-")))
        server = stack.enter_context(run_mariadb())
        for log_format in FORMATS:
            log = write_log(
                folder / f"{log_format}.log",
                log_format,
                size=lines * _LINE_BYTES[log_format],
                end=_END,
                per_second=_PER_SECOND,
            )
            for database in (
                Database("SQLite", folder, None),
                Database("MariaDB", folder, server),
            ):
                for line in _measure(database, log_format, log, runs):
                    told.append(line)
                    _print(line)
    missed = [one for one in told if one.way.startswith("floor") and one.ratio < GOAL]
    if missed:
        print(f"\nthe goal, {GOAL:.0%} of the floor, is missed {len(missed)} times")
    if output is not None:
        output.write_text(json.dumps([asdict(one) for one in told], indent=2) + "\n")
    return int(bool(missed))


def _print(line: Line) -> None:
    print(
        f"| {line.database} | {line.log_format} | {line.way} | {line.lines_per_s:,.0f} "
        f"| {line.cpu_s:.1f} | {line.database_cpu_s:.1f} | {line.peak_mib:.0f} "
        f"| {line.ratio:.2f} |",
        flush=True,
    )


def _measure(database: Database, log_format: str, log: Written, runs: int) -> Iterator[Line]:
    found: dict[str, list[tuple[Used, float]]] = defaultdict(list)
    for _ in range(runs):
        for way, used, served in _run_all(database, log_format, log):
            found[way].append((used, served))
    medians = {
        way: (
            statistics.median(used.seconds for used, _ in several),
            statistics.median(used.cpu_s for used, _ in several),
            statistics.median(served for _, served in several),
            max(used.peak_mib for used, _ in several),
        )
        for way, several in found.items()
    }
    parse, load = medians["parse alone"], medians["load alone"]
    medians["floor: parse alone + load alone"] = (
        parse[0] + load[0],
        parse[1] + load[1],
        parse[2] + load[2],
        max(parse[3], load[3]),
    )
    base = medians["collector"][0]
    for way, (seconds, cpu_s, served, peak) in medians.items():
        yield Line(
            database.name, log_format, way, log.lines / seconds, cpu_s, served, peak, seconds / base
        )


def _run_all(
    database: Database, log_format: str, log: Written
) -> Iterator[tuple[str, Used, float]]:
    def way(name: str, url: str) -> tuple[Used, float]:
        before = database.cpu_s()
        used, told = run_module("benchmarks.request_log_ways", name, url, log_format, str(log.path))
        if told["rows"] != log.lines:
            raise AssertionError(f"{name}: {told['rows']} of {log.lines} lines")
        return used, database.cpu_s() - before

    url = database.url()
    start = log.start.replace(second=0)
    before = database.cpu_s()
    texts = [start.isoformat(), (log.end + timedelta(minutes=1)).isoformat(), str(log.path)]
    used, told = run_module("benchmarks.collect_once", url, log_format, *texts)
    if told["rows"] != log.lines:
        raise AssertionError(f"the collector: {told['rows']} of {log.lines} lines")
    yield "collector", used, database.cpu_s() - before
    yield ("parse alone", *way("parse", url))
    load, _ = way("load", url)
    # of the server, the part that put the rows in place is not told from that of reading them
    yield "load alone", replace(load, peak_mib=0.0), 0.0
    yield ("plain loop", *way("loop", database.url()))
    if shutil.which("goaccess") is not None:
        yield "goaccess, in memory", _goaccess(log_format, log), 0.0


def _goaccess(log_format: str, log: Written) -> Used:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        used, _ = run_measured(
            [
                *("goaccess", str(log.path), *_GOACCESS[log_format], "--no-global-config"),
                *("--tz=UTC", "--no-progress", "--output", str(result)),
            ]
        )
        general = json.loads(result.read_bytes())["general"]
    if general["valid_requests"] != log.lines:
        raise AssertionError(f"goaccess took {general['valid_requests']} of {log.lines} lines")
    return used


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="From a log file to committed rows")
    parser.add_argument("--lines", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    given = parser.parse_args()
    sys.exit(main(given.lines, given.runs, given.json))
