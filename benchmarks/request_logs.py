"""From a log file to committed rows: lines per second, beside a floor, goaccess and plain Python.

    python -m benchmarks.request_logs [--lines 300000] [--runs 3] [--json FILE]

The same requests as nginx_json and nginx_combined, into SQLite and MariaDB: raw rows, and counts
per minute, route and instance. Every way is a process of its own and a new userdb; ways take
turns; told are medians. Starting Python and its imports is not counted.

The floor is the parser alone plus the load alone: the same rows, encoded beforehand, inserted by
``executemany`` (SQLite) or LOAD DATA LOCAL (MariaDB). The goal is 70 % of it. goaccess counts the
same requests in memory and stores no row, so it is comparable in what it reads alone. The plain
loop is ``json`` or ``re``, and ``executemany``. CPU of MariaDB's server is beside that of the
process. ``ratio`` is that of the collector's lines per second to the line's, ``CPU
ratio`` of lines per CPU second, the server's with it: on a machine with other work, the one to
read.

Needs mariadbd (apt-get install mariadb-server) and, for its line, goaccess (apt-get install
goaccess).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.access_log import FORMATS, Written, write_log
from benchmarks.processes import Used, run_measured, run_module
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
    cpu_ratio: float


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

    def environment(self) -> dict[str, str]:
        return dict(os.environ) | (
            {} if self.server is None else {"SERVER_PID": str(self.server.pid)}
        )


def main(lines: int, runs: int, output: Path | None) -> int:
    if shutil.which("goaccess") is None:
        print("goaccess is not installed, and has no line: apt-get install goaccess\n")
    print(
        "| database | format | way | lines/s | CPU s | database CPU s | peak MiB | ratio "
        "| CPU ratio |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|", flush=True)
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
        f"| {line.ratio:.2f} | {line.cpu_ratio:.2f} |",
        flush=True,
    )


def _measure(database: Database, log_format: str, log: Written, runs: int) -> Iterator[Line]:
    found: dict[str, list[Used]] = defaultdict(list)
    for _ in range(runs):
        for way, used in _run_all(database, log_format, log):
            found[way].append(used)
    medians = {way: _median(several) for way, several in found.items()}
    parse, load = medians["parse alone"], medians["load alone"]
    medians["floor: parse alone + load alone"] = Used(
        parse.seconds + load.seconds,
        parse.cpu_s + load.cpu_s,
        parse.peak_mib,
        served_s=load.served_s,
    )
    base = medians["collector"]
    for way, used in medians.items():
        yield Line(
            database.name,
            log_format,
            way,
            log.lines / used.seconds,
            used.cpu_s,
            used.served_s,
            used.peak_mib,
            used.seconds / base.seconds,
            (used.cpu_s + used.served_s) / (base.cpu_s + base.served_s),
        )


def _median(several: Sequence[Used]) -> Used:
    return Used(
        statistics.median(one.seconds for one in several),
        statistics.median(one.cpu_s for one in several),
        max(one.peak_mib for one in several),
        served_s=statistics.median(one.served_s for one in several),
    )


def _run_all(database: Database, log_format: str, log: Written) -> Iterator[tuple[str, Used]]:
    def run(module: str, *arguments: str) -> Used:
        used, told = run_module(
            f"benchmarks.{module}", *arguments, environment=database.environment()
        )
        if told["rows"] != log.lines:
            raise AssertionError(f"{module} {arguments}: {told['rows']} of {log.lines} lines")
        return used

    url, path = database.url(), str(log.path)
    window = (log.start.replace(second=0), log.end + timedelta(minutes=1))
    yield "collector", run("collect_once", url, log_format, *(f"{at}" for at in window), path)
    yield "parse alone", run("request_log_ways", "parse", url, log_format, path)
    # it holds all rows beforehand: its memory tells nothing
    load = run("request_log_ways", "load", url, log_format, path)
    yield "load alone", replace(load, peak_mib=0.0)
    yield "plain loop", run("request_log_ways", "loop", database.url(), log_format, path)
    if shutil.which("goaccess") is not None:
        yield "goaccess, in memory", _goaccess(log_format, log)


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
