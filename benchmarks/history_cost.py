"""What one run of the chain costs, by the number of routes and by the days of stored history.

    python -m benchmarks.history_cost [--routes 10,100,1000] [--days 1,30,365] [--runs 5]
                                      [--requests 200000] [--skip-size]

A run collects five minutes of a Traefik log, scores the shipped policies over requests and folds.
History is counts per minute of every route, the ledger and its days' partitions. Routes vary over
the fewest days, days over the fewest routes; ratios are to the first row of each database. Last:
bytes on disk of a million requests, by what is kept of the raw ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from monitoring.alerts.history import update_alerts
from monitoring.evaluation import score_policies
from monitoring.policy.loader import load_policies
from monitoring.window import Window
from sqlalchemy import select, text, update

import include
from include.collectors.config import load_settings
from include.collectors.run import run_collector
from tests.servers.mariadb import MariaDbServer, run_mariadb
from userdb.bulk import bulk_insert
from userdb.migrate import upgrade
from userdb.models import Collection, RequestMinute, Series, SourceFile
from userdb.partitions import keep_partitions
from userdb.store import Store, open_store
from userdb.times import from_minute, to_minute

#: The end of the history, and the begin of what is collected.
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=5)
DAY = 24 * 60
#: Of a route, in a minute.
RATE = 6
_ROWS_PER_WRITE = 20_000


def lines(routes: int, first: datetime, minutes: int, rate: int) -> Iterator[str]:
    """A Traefik log: one request in fifty fails."""
    for minute in range(minutes):
        for number in range(routes * rate):
            at = first + timedelta(minutes=minute, seconds=60 * number / (routes * rate))
            route = number % routes
            yield (
                json.dumps(
                    {
                        "StartUTC": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}",
                        "Duration": 40_000_000 + 1_000_000 * (number % 97),
                        "RouterName": f"r{route}@http",
                        "ServiceName": f"s{route % 8}@http",
                        "RequestMethod": "GET",
                        "RequestPath": f"/r{route}/items/{number}",
                        "ClientHost": f"10.0.{number % 8}.{number % 250}",
                        "DownstreamStatus": 502 if number % 50 == 0 else 200,
                        "DownstreamContentSize": 1500,
                    }
                )
                + "\n"
            )


def collect(store: Store, folder: Path, window: Window, keep: str = "all") -> None:
    """Collect ``window`` of the folder's log."""
    sources = folder / "sources.yaml"
    source = {"name": "gateway", "paths": [f"{folder}/access.log"], "format": "traefik_json"}
    sources.write_text(json.dumps({"request_logs": {"sources": [source], "keep": keep}}))
    report = run_collector(
        "request_logs", window, store, now=window.end, settings=load_settings(sources)
    )
    if not report.ok or not report.rows:
        raise SystemExit(f"nothing was collected: {report.sources}")


def fill(store: Store, days: int, until: int) -> None:
    """``days`` of minutes before ``until`` of every series that there is, and their ledger."""
    with store.read() as connection:
        ids = connection.scalars(select(Series.id).where(Series.family == "request")).all()
        file_id = connection.scalar(select(SourceFile.id))
    random = np.random.default_rng(0)
    size = max(1, _ROWS_PER_WRITE // len(ids))
    block = pd.DataFrame({"series_id": np.tile(ids, size), "file_id": file_id})
    for column in RequestMinute.__table__.columns:
        if column.name not in block and column.name != "minute":
            rare = column.name in ("timeout", "server_error", "auth_failure", "client_error")
            block[column.name] = random.poisson(0.05 if rare else 5, len(block))
    for first in range(until - days * DAY, until, size):
        minutes = np.repeat(np.arange(first, first + size), len(ids))
        rows = block.assign(minute=minutes)[minutes < until]
        store.write(lambda connection, rows=rows: bulk_insert(connection, RequestMinute, rows))
    ends = range(until - days * DAY + 5, until + 1, 5)
    for at in range(0, len(ends), 1000):
        ledger = [
            {
                "attempt": f"{collector}{end}",
                "collector": collector,
                "source": "gateway",
                "window_start": from_minute(end - 5),
                "window_end": from_minute(end),
                "status": "ok",
                "row_count": 1,
                "rejected": 0,
                "late": 0,
                "started_at": from_minute(end),
                "duration_s": 0.1,
            }
            for end in ends[at : at + 1000]
            for collector in ("gateway_exceptions", "request_logs", "container_stats")
        ]
        store.write(lambda connection, ledger=ledger: bulk_insert(connection, Collection, ledger))
    first_minute = until - days * DAY
    store.write(lambda c: c.execute(update(Series).values(first_minute=first_minute)))


def measure(url: str, routes: int, days: int, runs: int) -> tuple[float, float]:
    """Median seconds of collecting a window, and of scoring and folding it."""
    policies = load_policies(Path(include.__path__[0]) / "policies" / "requests.yaml")
    store = open_store(url)
    upgrade(store)
    keep_partitions(store, now=NOW - timedelta(days=days), ahead=days + 1)
    times: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        total = lines(routes, NOW, 5 * (runs + 2), RATE)
        (folder / "access.log").write_text("".join(total))
        for number in range(runs + 2):
            window = Window(NOW + number * WINDOW, NOW + (number + 1) * WINDOW)
            began = time.perf_counter()
            collect(store, folder, window)
            collected = time.perf_counter()
            if number == 0:
                fill(store, days, to_minute(NOW))
                continue
            score_policies(window, store, now=window.end, loaded=policies)
            update_alerts(store, now=window.end)
            if number > 1:  # the first one after the filling only warms up
                times.append((collected - began, time.perf_counter() - collected))
    store.close()
    return statistics.median(one for one, _ in times), statistics.median(one for _, one in times)


def bytes_stored(store: Store, server: MariaDbServer | None) -> dict[str, int]:
    """Bytes of the raw rows and of the counts, indexes included."""
    tables = ("request_log", "request_minute")
    if server is not None:
        folder = server.folder / "data" / str(store.url.url.database)
        return {
            table: sum(path.stat().st_size for path in folder.glob(f"{table}*.ibd"))
            for table in tables
        }
    with store.read() as connection:
        return {
            table: connection.scalar(
                text(
                    "SELECT sum(pgsize) FROM dbstat WHERE name IN "
                    "(SELECT name FROM sqlite_master WHERE tbl_name = :table)"
                ),
                {"table": table},
            )
            for table in tables
        }


def stored(url: str, server: MariaDbServer | None, keep: str, requests: int) -> dict[str, float]:
    """MiB of a million requests, by table: 100 routes, an hour."""
    store = open_store(url)
    upgrade(store)
    empty = bytes_stored(store, server)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rate = requests // 6000
        (folder / "access.log").write_text("".join(lines(100, NOW, 60, rate)))
        collect(store, folder, Window(NOW, NOW + timedelta(hours=1)), keep)
    full = bytes_stored(store, server)
    store.close()
    return {table: (full[table] - empty[table]) / 2**20 * 1e6 / (6000 * rate) for table in full}


def main(routes: Sequence[int], days: Sequence[int], runs: int, requests: int, size: bool) -> None:
    cases = [(one, days[0]) for one in routes] + [(routes[0], one) for one in days[1:]]
    print("| database | routes | days | collect s | analyse s | a run, ratio |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as scratch, run_mariadb() as server:

        def url(name: str, case: str) -> str:
            if name == "SQLite":
                return f"sqlite:///{scratch}/{case}.sqlite"
            return server.create_database(f"userdb_{case}")

        for name in ("SQLite", "MariaDB"):
            base = None
            for one, span in cases:
                collected, analysed = measure(url(name, f"r{one}_d{span}"), one, span, runs)
                base = base or collected + analysed
                print(
                    f"| {name} | {one} | {span} | {collected:.2f} | {analysed:.2f} "
                    f"| {(collected + analysed) / base:.2f} |",
                    flush=True,
                )
        if not size:
            return
        print("\n| database | keep | raw, MiB a million | minutes | of keeping all |")
        print("|---|---|---:|---:|---:|", flush=True)
        for name in ("SQLite", "MariaDB"):
            whole = None
            for keep in ("all", "exceptional", "none"):
                own = None if name == "SQLite" else server
                found = stored(url(name, f"keep_{keep}"), own, keep, requests)
                total = sum(found.values())
                whole = whole or total
                print(
                    f"| {name} | {keep} | {found['request_log']:.1f} "
                    f"| {found['request_minute']:.1f} | {total / whole:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--routes", default="10,100,1000")
    parser.add_argument("--days", default="1,30,365")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--skip-size", action="store_true")
    given = parser.parse_args()
    main(
        [int(one) for one in given.routes.split(",")],
        [int(one) for one in given.days.split(",")],
        given.runs,
        given.requests,
        not given.skip_size,
    )
