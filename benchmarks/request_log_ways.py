"""Ways from a log to rows, each measured in a process of its own, for ``benchmarks.request_logs``.

    python -m benchmarks.request_log_ways WAY URL FORMAT PATH

``parse``: the collector's parser, alone. ``load``: the rows that the collector makes of the log,
encoded beforehand and inserted by the driver's fastest means in the same number of transactions.
``loop``: what one would write: ``json`` or ``re`` a line, ``executemany`` of raw rows and of
counts per minute.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchmarks.processes import Used, measured, report
from include.collectors.request_logs.blocks import Block, read_blocks
from include.collectors.request_logs.outcome import outcome_of
from include.collectors.request_logs.parse import ParsedFile, Parser
from include.collectors.request_logs.settings import LogSource, RequestLogsSettings
from userdb.latency import LATENCY_BOUNDS_MS, LATENCY_COLUMNS
from userdb.models import RequestLog, RequestMinute
from userdb.store import Store, open_store

#: Rows of one transaction: the collector's, on SQLite and on a server.
_ROWS = {True: 9_000, False: 100_000}
_FOREVER = 1 << 62
_NUMBER = re.compile(r"/\d+(?=/|$)")
_LINE = re.compile(
    r'(\S+) - (\S+) \[([^\]]+)\] "([A-Z]+) (\S+) [^"]*" (\d{3}) (\d+) "[^"]*" "([^"]*)"'
)

Rows = list[tuple[Any, ...]]


def main(way: str, url: str, log_format: str, path: Path) -> None:
    used, rows = {"parse": _parse, "load": _load, "loop": _loop}[way](url, log_format, path)
    report(used, rows=rows)


def _parse(_url: str, log_format: str, path: Path) -> tuple[Used, int]:
    source = LogSource(name="gateway", paths=[str(path)], format=log_format)
    # pyarrow imports pandas with its first array: no import is measured
    Block(0, b"\n").table()

    def work() -> ParsedFile:
        with Parser(source, RequestLogsSettings()) as parser, path.open("rb") as file:
            return parser.parse(
                read_blocks(file, 0, None), 0, _FOREVER, window_us=(0, _FOREVER), stop_us=None
            )

    used, parsed = measured(work)
    return used, parsed.lines


def _load(url: str, _format: str, _path: Path) -> tuple[Used, int]:
    """Take what a collection left, empty the tables, and insert it again."""
    store = open_store(url)
    tables = (RequestLog.__table__, RequestMinute.__table__)
    stored = []
    for table in tables:
        with store.read() as connection:
            # as the driver has them: its own types, no conversion to measure
            order = "occurred_at" if table is tables[0] else "minute"
            found = connection.exec_driver_sql(f"SELECT * FROM {table.name} ORDER BY {order}")
            stored.append((table.name, tuple(found.keys()), [tuple(row) for row in found]))
    for table in tables:
        store.write(lambda connection, table=table: connection.execute(table.delete()))
    size = _ROWS[store.is_sqlite]
    parts = [
        (name, columns, rows[at : at + size])
        for name, columns, rows in stored
        for at in range(0, len(rows), size)
    ]
    with tempfile.TemporaryDirectory() as folder:
        insert = _executemany if store.is_sqlite else _load_data(Path(folder), parts)

        def work() -> None:
            for number, (name, columns, rows) in enumerate(parts):
                store.write(
                    lambda connection, to=(name, columns, rows, number): insert(connection, *to)
                )

        used, _ = measured(work)
    store.close()
    return used, len(stored[0][2])


def _executemany(
    connection: Connection, table: str, columns: Sequence[str], rows: Rows, _number: int
) -> None:
    if not rows:  # the last part of lines that fill whole parts
        return
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    quote = connection.dialect.identifier_preparer.quote
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({', '.join(map(quote, columns))}) "
        f"VALUES ({', '.join([mark] * len(columns))})",
        rows,
    )


def _load_data(
    folder: Path, parts: Sequence[tuple[str, Sequence[str], Rows]]
) -> Callable[[Connection, str, Sequence[str], Rows, int], None]:
    for number, (_, _, rows) in enumerate(parts):
        with (folder / str(number)).open("w", encoding="utf-8") as file:
            file.writelines(
                "\t".join("\\N" if value is None else str(value) for value in row) + "\n"
                for row in rows
            )

    def insert(
        connection: Connection, table: str, columns: Sequence[str], _rows: Rows, number: int
    ) -> None:
        quote = connection.dialect.identifier_preparer.quote
        connection.exec_driver_sql(
            f"LOAD DATA LOCAL INFILE %s INTO TABLE {table} CHARACTER SET utf8mb4 "
            f"({', '.join(map(quote, columns))})",
            (str(folder / str(number)),),
        )

    return insert


def _loop(url: str, log_format: str, path: Path) -> tuple[Used, int]:
    store = open_store(url)
    used, rows = measured(lambda: _insert_all(store, log_format, path))
    store.close()
    return used, rows


def _insert_all(store: Store, log_format: str, path: Path) -> int:
    columns = [
        *("occurred_at", "file_id", "byte_offset", "source", "service", "route", "instance"),
        *("method", "host", "path", "status", "outcome", "outcome_reason", "duration_ms"),
        *("bytes_sent", "client", "user", "user_agent", "request_id"),
    ]
    read = _json_row if log_format == "nginx_json" else _combined_row
    minutes: dict[tuple[Any, ...], list[float]] = {}
    pending: Rows = []
    total = 0

    def flush() -> None:
        store.write(lambda connection: _executemany(connection, "request_log", columns, pending, 0))
        pending.clear()

    with path.open("rb") as file:
        offset = 0
        for line in file:
            row = read(line, offset)
            offset += len(line)
            pending.append(row)
            _count(minutes, row)
            total += 1
            if len(pending) == _ROWS[store.is_sqlite]:
                flush()
    flush()
    store.write(lambda connection: _insert_minutes(connection, minutes))
    return total


def _json_row(line: bytes, offset: int) -> tuple[Any, ...]:
    found = json.loads(line)
    at = datetime.fromtimestamp(float(found["time"]), UTC)
    path, status = found["request_uri"].partition("?")[0], int(found["status"])
    return (
        *(f"{at:%Y-%m-%d %H:%M:%S.%f}", 1, offset, "gateway", None),
        *(_NUMBER.sub("/{id}", path), found["upstream_addr"], found["request_method"]),
        *(found["host"], path, status, outcome_of(status), f"status={status}"),
        *(float(found["request_time"]) * 1000, int(found["body_bytes_sent"])),
        *(found["remote_addr"], found["remote_user"] or None, found["http_user_agent"]),
        found["request_id"],
    )


def _combined_row(line: bytes, offset: int) -> tuple[Any, ...]:
    found = _LINE.match(line.decode())
    if found is None:
        raise ValueError(line)
    client, user, time, method, target, code, size, agent = found.groups()
    at = datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
    path, status = target.partition("?")[0], int(code)
    return (
        *(f"{at:%Y-%m-%d %H:%M:%S.%f}", 1, offset, "gateway", None, _NUMBER.sub("/{id}", path)),
        *(None, method, None, path, status, outcome_of(status), f"status={status}", None),
        *(int(size), client, None if user == "-" else user, agent, None),
    )


def _count(minutes: dict[tuple[Any, ...], list[float]], row: tuple[Any, ...]) -> None:
    key = (row[0][:16], row[5], row[6])
    counts = minutes.get(key)
    if counts is None:
        minutes[key] = counts = [0.0] * (9 + len(LATENCY_COLUMNS))
    counts[0] += 1
    counts[
        ("ok", "client_error", "auth_failure", "timeout", "server_error").index(row[11]) + 1
    ] += 1
    counts[6] += row[14]
    took = row[13]
    if took is not None:
        counts[7] += took
        counts[8] = max(counts[8], took)
        bucket = next((n for n, bound in enumerate(LATENCY_BOUNDS_MS) if took <= bound), -1)
        counts[bucket if bucket < 0 else 9 + bucket] += 1


def _insert_minutes(connection: Connection, minutes: dict[tuple[Any, ...], list[float]]) -> None:
    # a series' id is what it comes to here: its place in the order in which they came
    series = {key[1:]: None for key in minutes}
    ids = {labels: number for number, labels in enumerate(series, 1)}
    columns = [
        *("minute", "series_id", "file_id", "requests", "ok", "client_error", "auth_failure"),
        *("timeout", "server_error", "bytes_sent", "latency_count", "latency_sum_ms"),
        *("latency_max_ms", *LATENCY_COLUMNS),
    ]
    rows: Rows = []
    for key, counts in minutes.items():
        minute = int(datetime.fromisoformat(f"{key[0]}+00:00").timestamp()) // 60
        timed = sum(counts[9:])
        rows.append((minute, ids[key[1:]], 1, *counts[:7], timed, *counts[7:]))
    _executemany(connection, "request_minute", columns, rows, 0)


if __name__ == "__main__":
    main(*sys.argv[1:4], Path(sys.argv[4]))
