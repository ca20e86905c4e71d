"""Replaying a month of alerts, beside vmalert's replay of the same data and rules.

    python -m benchmarks.replay [--full] [--json FILE]

40 routes, 30 days of minutes, 20 threshold policies evaluated every 5 minutes. Timed are whole
processes, the medians of three: ``monitoring replay`` with userdb on SQLite and on MariaDB, and
``vmalert -replay.*`` over VictoriaMetrics, which runs already, as MariaDB does. Every run begins
without a history and without cached results. The times at which alerts fired must be equal: a run
where they are not fails. The floor is a process that reads the same rows and does nothing with
them. ``--full`` adds ten times the routes and ten times the days, on SQLite.

Peak memory is that of the largest process, without MariaDB's or VictoriaMetrics' own.
Needs mariadbd (apt-get install mariadb-server) and vmalert (apt-get install victoria-metrics).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete

from benchmarks.processes import run_measured
from benchmarks.replay_data import METRICS, Traffic, fill_userdb, import_lines
from benchmarks.replay_policies import INTERVAL, RULES, write_policies, write_rules
from benchmarks.scoring_rates import print_rates
from benchmarks.victoriametrics import VictoriaMetrics, run_victoriametrics
from tests.servers.mariadb import run_mariadb
from userdb.models import Base
from userdb.store import Store, open_store

RUNS = 3
STEP = timedelta(minutes=INTERVAL)
#: What a replay doesn't make: it stays from one run to the next.
_FACTS = frozenset({"request_minute", "collection", "series", "source_file", "userdb_version"})
#: Reads what the policies need, ten days at a time, and does nothing with it.
_FLOOR = """
import sys
from userdb.bulk_read import read_minutes
from userdb.models import RequestMinute
from userdb.store import open_store
first, stop, *columns = sys.argv[1:]
store = open_store()
for low in range(int(first), int(stop), 14400):
    read_minutes(store, RequestMinute.__table__, columns, low, min(low + 14400, int(stop)))
"""

#: One alert: policy, labels, first evaluation that fired, first that did not or None.
Firing = tuple[str, tuple[tuple[str, str], ...], datetime, datetime | None]


@dataclass(frozen=True)
class Measured:
    """A way to replay: median seconds, and the peak memory of its largest process."""

    data: str
    way: str
    seconds: float
    peak_mib: float
    ratio: float | None
    firing: int | None


def main(full: bool, output: Path | None) -> None:
    base = Traffic(routes=40, days=30)
    measured: list[Measured] = []
    print("| data | way | s | peak MiB | ratio to vmalert | alerts that fired |")
    print("|---|---|---:|---:|---:|---:|", flush=True)
    for line in _measure(base, mariadb=True):
        measured.append(line)
        _print(line)
    if full:
        for traffic in (Traffic(routes=400, days=30), Traffic(routes=40, days=300)):
            for line in _measure(traffic, mariadb=False):
                measured.append(line)
                _print(line)
    print()
    rates = print_rates()
    if output is not None:
        document = {"replay": [asdict(line) for line in measured], "rates": rates}
        output.write_text(json.dumps(document, indent=2) + "\n")


def _print(line: Measured) -> None:
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    firing = "" if line.firing is None else f"{line.firing:,}"
    print(
        f"| {line.data} | {line.way} | {line.seconds:.2f} | {line.peak_mib:.0f} "
        f"| {ratio} | {firing} |",
        flush=True,
    )


def _measure(traffic: Traffic, *, mariadb: bool) -> Iterator[Measured]:
    data = f"{traffic.routes} routes × {traffic.days} days"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with run_victoriametrics() as server:
            server.load(import_lines(traffic))
            rules = write_rules(folder / "rules.yaml")
            command = server.replay_command(rules, traffic.start + STEP, traffic.end)
            least, peak = _median(lambda: _run(command), server.forget_replay)
            expected = _fired_in(server, traffic)
        yield Measured(data, "vmalert", least, peak, 1.0, len(expected))
        never = {rule.name for rule in RULES} - {policy for policy, *_ in expected}
        if never:
            raise AssertionError(f"the data is no test: {sorted(never)} never fired")
        policies = write_policies(folder / "policies")
        yield from _ours(
            data, "SQLite", f"sqlite:///{folder}/userdb.sqlite", traffic, policies, least, expected
        )
        if mariadb:
            with run_mariadb() as database:
                url = database.create_database("userdb")
                yield from _ours(data, "MariaDB", url, traffic, policies, least, expected)


def _ours(
    data: str,
    name: str,
    url: str,
    traffic: Traffic,
    policies: Path,
    vmalert: float,
    expected: set[Firing],
) -> Iterator[Measured]:
    store = open_store(url)
    fill_userdb(store, traffic)
    environment = {**os.environ, "USERDB_URL": url, "MONITORING_POLICIES": str(policies)}
    # modules are compiled once, not in every process
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    columns = ["minute", "series_id", *METRICS]
    reading = [sys.executable, "-c", _FLOOR, str(traffic.first), str(traffic.stop), *columns]
    seconds, peak = _median(lambda: _run(reading, environment), lambda: None)
    yield Measured(data, f"{name}: read only", seconds, peak, seconds / vmalert, None)
    seconds, peak = _median(
        lambda: _run(_replay_command(traffic), environment), lambda: _forget(store)
    )
    fired = _fired_of(environment, traffic)
    store.close()
    if fired != expected:
        raise AssertionError(
            f"{name}: alerts differ from vmalert's: {len(fired - expected)} only here, such as "
            f"{sorted(fired - expected, key=str)[:3]}; {len(expected - fired)} only there, such as "
            f"{sorted(expected - fired, key=str)[:3]}"
        )
    yield Measured(data, f"{name}: replay", seconds, peak, seconds / vmalert, len(fired))


def _monitoring(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "monitoring"), *arguments]


def _replay_command(traffic: Traffic) -> list[str]:
    return _monitoring("replay", "--from", _text(traffic.start), "--to", _text(traffic.end))


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _forget(store: Store) -> None:
    """Delete policies, scores and history: the next replay begins without them."""
    tables = [table for table in Base.metadata.sorted_tables if table.name not in _FACTS]
    for table in reversed(tables):
        store.write(lambda connection, table=table: connection.execute(delete(table)))


def _median(
    run: Callable[[], tuple[float, float]], prepare: Callable[[], None]
) -> tuple[float, float]:
    """Median seconds and greatest peak of ``RUNS`` runs, each after ``prepare``, and after one
    that isn't counted."""
    results = []
    for _ in range(RUNS + 1):
        prepare()
        results.append(run())
    del results[0]
    return statistics.median(one[0] for one in results), max(one[1] for one in results)


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> tuple[float, float]:
    """Seconds of a process from its start to its end, and its peak memory in MiB."""
    used, _ = run_measured(command, environment)
    return used.seconds, used.peak_mib


def _fired_in(server: VictoriaMetrics, traffic: Traffic) -> set[Firing]:
    """What vmalert's replay saw firing. Its times are those of evaluations: an alert is over at
    the first evaluation at which it is not firing."""
    found: set[Firing] = set()
    step = INTERVAL * 60_000
    last = int(traffic.end.timestamp()) * 1000
    for labels, seen in server.firing():
        series = tuple(sorted((k, v) for k, v in labels.items() if k in ("service", "route")))
        times = sorted(set(seen))
        begin = times[0]
        for at, following in zip(times, [*times[1:], None], strict=True):
            if following == at + step:
                continue
            end = None if at == last else _time(at + step)
            found.add((labels["alertname"], series, _time(begin), end))
            if following is not None:
                begin = following
    return found


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=Traffic.start.tzinfo)


def _fired_of(environment: dict[str, str], traffic: Traffic) -> set[Firing]:
    """The same of userdb's history."""
    command = _monitoring("alerts", "export")
    text = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: set[Firing] = set()
    for alert in json.loads(text.stdout)["alerts"]:
        if alert["fired_at"] is None:
            continue
        series = tuple(sorted((k, v) for k, v in alert["labels"].items() if v))
        over = alert["resolved_at"]
        found.add(
            (
                alert["policy"],
                tuple((k, v) for k, v in series if k in ("service", "route")),
                datetime.fromisoformat(alert["fired_at"]),
                None if over is None else datetime.fromisoformat(over),
            )
        )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Replay beside vmalert's")
    parser.add_argument("--full", action="store_true", help="also ten times the data; minutes")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    given = parser.parse_args()
    main(given.full, given.json)
