"""What one run of the chain costs, by the number of routes and by the days of stored history.

    python -m benchmarks.history_cost [--routes 10,100,1000] [--days 1,30,365] [--runs 5]
                                      [--requests 200000] [--skip-size]

A run collects five minutes of a Traefik log, scores the shipped policies over requests and folds.
History is counts per minute of every route in its days' partitions, the ledger, evaluations,
evidence and alerts. A year of every minute of a thousand routes is half a billion rows: so of what
is older than three days, further back than any policy looks, one minute in so many is stored, as
the table says. As others use the machine too, besides the time that it took it tells CPU seconds,
of this process and of the server, and statements; all are medians of the runs. Last: bytes on disk
of a million requests, by what is kept of the raw ones.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitoring.alerts.history import update_alerts
from monitoring.evaluation import score_policies
from monitoring.policy.loader import load_policies
from monitoring.window import Window
from sqlalchemy import text

import include
from benchmarks.history_fill import fill, step_of
from benchmarks.run_cost import Cost, Meter, median
from include.collectors.config import load_settings
from include.collectors.run import run_collector
from tests.servers.mariadb import MariaDbServer, run_mariadb
from userdb.migrate import upgrade
from userdb.partitions import keep_partitions
from userdb.store import Store, open_store
from userdb.times import to_minute

#: The end of the history, and the begin of what is collected.
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=5)
#: Of a route, in a minute.
RATE = 6


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
    source = {
        "name": "gateway",
        "paths": [f"{folder}/access.log"],
        "format": "traefik_json",
        "route": {"max_routes": 10_000},
    }
    sources.write_text(json.dumps({"request_logs": {"sources": [source], "keep": keep}}))
    report = run_collector(
        "request_logs", window, store, now=window.end, settings=load_settings(sources)
    )
    if not report.ok or not report.rows:
        raise SystemExit(f"nothing was collected: {report.sources}")


def measure(
    url: str, server: MariaDbServer | None, routes: int, days: int, runs: int
) -> tuple[Cost, Cost, int]:
    """Medians of collecting a window, and of scoring and folding it; and rows of history."""
    policies = load_policies(Path(include.__path__[0]) / "policies" / "requests.yaml")
    names = [policy.name for policy in policies.policies]
    store = open_store(url)
    upgrade(store)
    keep_partitions(store, now=NOW - timedelta(days=days), ahead=days + 1)
    meter = Meter(store, None if server is None else server.pid)
    costs: list[tuple[Cost, Cost]] = []
    rows = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "access.log").write_text("".join(lines(routes, NOW, 5 * (runs + 2), RATE)))
        for number in range(runs + 2):
            window = Window(NOW + number * WINDOW, NOW + (number + 1) * WINDOW)
            began = meter.read()
            collect(store, folder, window)
            collected = meter.read()
            if number == 0:
                rows = fill(store, days, to_minute(NOW), names)
                continue
            scores = score_policies(window, store, now=window.end, loaded=policies)
            alerts = update_alerts(store, now=window.end)
            analysed = meter.read()
            if scores.errors or alerts.errors:
                raise SystemExit(f"the analysis failed: {scores.errors} {alerts.errors}")
            if number > 1:  # the first one after the filling only warms up
                costs.append((collected.since(began), analysed.since(collected)))
    store.close()
    return median([one for one, _ in costs]), median([one for _, one in costs]), rows


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
    print(
        "| database | routes | days | rows stored | one minute in | collect s | analyse s "
        "| CPU own s | CPU server s | statements | CPU a route, ms | to the fewest days |"
    )
    print(f"|---|{'---:|' * 11}", flush=True)
    with tempfile.TemporaryDirectory() as scratch, run_mariadb() as server:

        def url(name: str, case: str) -> str:
            if name == "SQLite":
                return f"sqlite:///{scratch}/{case}.sqlite"
            return server.create_database(f"userdb_{case}")

        for name in ("SQLite", "MariaDB"):
            own = None if name == "SQLite" else server
            for one in routes:
                base = None
                for span in days:
                    collected, analysed, rows = measure(url(name, "case"), own, one, span, runs)
                    for path in Path(scratch).glob("case.sqlite*"):
                        path.unlink()
                    total = collected.plus(analysed)
                    base = base or total.cpu
                    print(
                        f"| {name} | {one} | {span} | {rows:,} | {step_of(one, span)} "
                        f"| {collected.wall:.2f} | {analysed.wall:.2f} | {total.own:.2f} "
                        f"| {total.server:.2f} | {total.statements} "
                        f"| {1000 * total.cpu / one:.2f} | {total.cpu / base:.2f} |",
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
