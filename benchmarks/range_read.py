"""Reading a range of rows: a plain cursor into NumPy beside strings of codes, connectorx, pandas.

    python -m benchmarks.range_read [ROWS]

Prints a Markdown table; times are the best of three, ratios are against the plain cursor. Needs
mariadbd for the server's part (apt-get install mariadb-server). connectorx is measured where it is
installed (uv pip install connectorx): the project itself does without; userdb/read.py says why,
and ``locks`` below shows it.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import insert, select

from tests.servers.mariadb import run_mariadb
from userdb.bulk_read import read_minutes
from userdb.migrate import upgrade
from userdb.models import EventMinute
from userdb.read import read_columns
from userdb.store import Store, open_store

QUERY = select(
    EventMinute.minute,
    EventMinute.series_id,
    EventMinute.events,
    EventMinute.events.label("again"),
)
TEXT = "SELECT minute, series_id, events, events AS again FROM event_minute"


def best(work: Callable[[int], Any], rows: int) -> float:
    """Seconds of the fastest of three runs."""
    times = []
    for _ in range(3):
        gc.collect()
        start = time.perf_counter()
        work(rows)
        times.append(time.perf_counter() - start)
    return min(times)


def fill(store: Store, rows: int) -> None:
    """``rows`` rows, 100 series a minute."""
    upgrade(store)
    for at in range(0, rows, 20_000):
        values = [
            {"minute": number // 100, "series_id": number % 100, "events": number % 7}
            for number in range(at, min(at + 20_000, rows))
        ]
        store.write(
            lambda connection, values=values: connection.execute(insert(EventMinute), values)
        )


def ways(store: Store) -> dict[str, Callable[[int], Any]]:
    """Each way to read the first rows."""
    url = store.url.url
    rendered = (
        f"sqlite://{url.database}"
        if store.is_sqlite
        else url.set(drivername="mysql", query={}).render_as_string(hide_password=False)
    )

    def pandas_read(rows: int) -> Any:
        with store.read() as connection:
            return pd.read_sql(QUERY.limit(rows), connection)

    measured: dict[str, Callable[[int], Any]] = {
        "plain cursor (read_columns)": lambda rows: read_columns(store, QUERY.limit(rows)),
        # 100 rows a minute
        "strings of codes (read_minutes)": lambda rows: read_minutes(
            store,
            EventMinute.__table__,
            ["minute", "series_id", "events", "events"],
            0,
            max(rows // 100, 1),
        ),
        "pandas.read_sql": pandas_read,
    }
    if find_spec("connectorx"):
        import connectorx

        measured["connectorx, arrow"] = lambda rows: connectorx.read_sql(
            rendered, f"{TEXT} LIMIT {rows}", return_type="arrow"
        ).to_pandas()
    return measured


def locks(folder: Path) -> str:
    """What a read by connectorx does to SQLite's locks of the same process."""
    import connectorx

    path = folder / "locks.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (a INTEGER)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    connection.execute("BEGIN")
    connection.execute("SELECT a FROM t").fetchall()

    def held() -> int:
        files = {str(file.stat().st_ino) for file in folder.glob("locks.sqlite*")}
        lines = [line.split() for line in Path("/proc/locks").read_text("ascii").splitlines()]
        return sum(line[4] == str(os.getpid()) and line[5].split(":")[2] in files for line in lines)

    before = held()
    connectorx.read_sql(f"sqlite://{path}", "SELECT a FROM t", return_type="arrow")
    after = held()
    connection.close()
    return (
        f"SQLite's locks held by this process: {before} before a read by connectorx, {after} after."
    )


def main(rows: int) -> None:
    print("| database | rows | way | ms | ratio |\n|---|---:|---|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch, run_mariadb() as server:
        for name, url in (
            ("SQLite", f"sqlite:///{scratch}/userdb.sqlite"),
            ("MariaDB, mysqlclient", server.create_database("userdb")),
        ):
            store = open_store(url)
            fill(store, rows)
            for count in (500, 20_000, rows):
                plain = None
                for way, read in ways(store).items():
                    read(10)
                    seconds = best(read, count)
                    plain = plain or seconds
                    ratio = seconds / plain
                    print(f"| {name} | {count:,} | {way} | {seconds * 1000:.1f} | {ratio:.2f} |")
            store.close()
        if find_spec("connectorx"):
            print(f"\n{locks(Path(scratch))}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
