"""Scoring and folding a range of history, beside the floor: reading the same rows.

    python -m benchmarks.analysis [DAYS]

40 routes, one row a minute and route, and the shipped policies over requests. The floor reads the
columns that the policies need, once a policy, and does nothing with them. Prints a Markdown table
for SQLite and MariaDB (apt-get install mariadb-server); "window" is one live window of five
minutes at the end of that history; a pair is one evaluation of one series.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from monitoring.alerts.history import update_alerts
from monitoring.evaluation import score_policies
from monitoring.policy.loader import Policies, load_policies
from monitoring.window import Window
from sqlalchemy import select

import include
from tests.servers.mariadb import run_mariadb
from userdb.bulk import bulk_insert
from userdb.ledger import CollectionReport, SourceReport, record
from userdb.migrate import upgrade
from userdb.models import Base, RequestMinute
from userdb.read import read_columns
from userdb.series import intern_series, touch_series
from userdb.store import Store, open_store
from userdb.times import from_minute, to_minute

ROUTES = 40
FIRST = to_minute(datetime(2026, 3, 2, tzinfo=UTC))
DAY = 24 * 60
_RARE = {"timeout", "server_error", "auth_failure"}


def fill(store: Store, days: int) -> None:
    """``days`` of minutes of all routes, covered."""
    upgrade(store)
    labels = [{"service": f"s{route % 5}", "route": f"/r{route}"} for route in range(ROUTES)]
    ids = list(store.write(lambda c: intern_series(c, "request", labels)).values())
    random = np.random.default_rng(0)
    stop = FIRST + days * DAY
    for first in range(FIRST, stop, 500):
        minutes = np.repeat(np.arange(first, min(first + 500, stop)), ROUTES)
        rows = pd.DataFrame({"minute": minutes, "file_id": 1})
        rows["series_id"] = np.tile(ids, len(minutes) // ROUTES)
        for column in RequestMinute.__table__.columns:
            if column.name not in rows:
                rows[column.name] = random.poisson(0.05 if column.name in _RARE else 5, len(rows))
        store.write(lambda c, rows=rows: bulk_insert(c, RequestMinute, rows))
    report = CollectionReport(
        "request_logs",
        from_minute(FIRST - 3 * DAY),
        from_minute(stop),
        (SourceReport("gateway", "ok"),),
        from_minute(stop),
        0.0,
    )

    def ledger(connection) -> None:
        touch_series(connection, dict.fromkeys(ids, (FIRST, stop - 1)))
        record(connection, report, "request", None)

    store.write(ledger)


def floor(store: Store, policies: Policies, first: int, stop: int) -> float:
    """Seconds to read what the policies need of [first, stop)."""
    start = time.perf_counter()
    for policy in policies.policies:
        table = Base.metadata.tables[policy.family.table]
        names = ("minute", "series_id", *policy.signal_definition.columns)
        for low in range(first, stop, DAY):
            query = select(*(table.c[name] for name in names)).where(
                table.c.minute >= low - policy.lookback_minutes,
                table.c.minute < min(low + DAY, stop),
            )
            read_columns(store, query)
    return time.perf_counter() - start


def analyse(store: Store, policies: Policies, first: int, stop: int) -> tuple[float, float, int]:
    """Seconds of scoring and of folding, and series × evaluations scored."""
    now = from_minute(stop) + timedelta(days=1)
    start = time.perf_counter()
    scores = score_policies(Window.of_minutes(first, stop), store, now=now, loaded=policies)
    scored = time.perf_counter()
    folded = update_alerts(store, now=now)
    end = time.perf_counter()
    assert not scores.errors
    assert not folded.errors
    return scored - start, end - scored, scores.evaluations * ROUTES


def main(days: int) -> None:
    policies = load_policies(Path(include.__path__[0]) / "policies" / "requests.yaml")
    print(
        "| database | range | floor s | score s | fold s | total / floor | series x evaluations/s |"
    )
    print("|---|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch, run_mariadb() as server:
        for name, url in (
            ("SQLite", f"sqlite:///{scratch}/userdb.sqlite"),
            ("MariaDB", server.create_database("userdb")),
        ):
            store = open_store(url)
            fill(store, days)
            stop = FIRST + days * DAY
            for label, first in ((f"{days} days", FIRST), ("window", stop - 5)):
                least = floor(store, policies, first, stop)
                score, fold, pairs = analyse(store, policies, first, stop)
                print(
                    f"| {name} | {label} | {least:.2f} | {score:.2f} | {fold:.2f} "
                    f"| {(score + fold) / least:.1f} | {pairs / (score + fold):,.0f} |"
                )
            store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
