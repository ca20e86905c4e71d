"""Events per second over HTTP, one a request and in batches, beside a bare FastAPI handler.

    python -m benchmarks.ingest [--events 4000] [--clients 8] [--json FILE]

``monitoring serve`` and the floor (``benchmarks.ingest_floor``) are one uvicorn process each, on
the same database, loaded by the same clients; the number of events and
of clients is the bound. Latencies are those of requests, as clients see them.

At the end the server is ended with SIGKILL in mid-load, and started again: every event that was
acknowledged must be stored once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from monitoring.keys import create_key
from sqlalchemy import select

from tests.servers.mariadb import run_mariadb
from userdb.migrate import upgrade
from userdb.models import MonitorEvent
from userdb.store import open_store

_PATH = "/api/v1/events"
_SERVE = (sys.executable, "-c", "from monitoring.cli import main; main()", "serve")
_FLOOR = (sys.executable, "-m", "uvicorn", "benchmarks.ingest_floor:app", "--no-access-log")


@dataclass(frozen=True)
class Load:
    """What clients saw: ``acknowledged`` are ids of events in requests that were answered 200."""

    acknowledged: list[str]
    latencies_s: list[float]
    seconds: float


@dataclass(frozen=True)
class Measured:
    """A server under load."""

    database: str
    way: str
    batch: int
    events_per_s: float
    p50_ms: float
    p99_ms: float
    ratio: float


def main(events: int, clients: int, output: Path | None) -> None:
    measured: list[Measured] = []
    print("| database | server | events a request | events/s | p50 ms | p99 ms | ratio |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder, run_mariadb() as mariadb:
        for database, url in (
            ("SQLite", f"sqlite:///{folder}/userdb.sqlite"),
            ("MariaDB", mariadb.create_database("ingest")),
        ):
            key = prepare(url)
            for batch in (1, 100):
                number = events if batch == 1 else events * 10
                floor = 0.0
                for way, command in (("bare handler", _FLOOR), ("monitoring serve", _SERVE)):
                    with _server(command, url) as (port, _):
                        _load(port, key, clients * 10 * batch, batch, clients)  # warm
                        load = _load(port, key, number, batch, clients)
                    rate = len(load.acknowledged) / load.seconds
                    if len(load.acknowledged) != number:
                        raise AssertionError(f"{len(load.acknowledged)} of {number} were taken")
                    floor = floor or rate
                    cuts = statistics.quantiles(load.latencies_s, n=100)
                    one = Measured(
                        database, way, batch, rate, cuts[49] * 1e3, cuts[98] * 1e3, rate / floor
                    )
                    measured.append(one)
                    print(
                        f"| {database} | {way} | {batch} | {rate:,.0f} | {one.p50_ms:.1f} "
                        f"| {one.p99_ms:.1f} | {one.ratio:.2f} |",
                        flush=True,
                    )
            print(f"\nSIGKILL in mid-load, {database}: {killed(url, key, clients)}\n", flush=True)
    if output is not None:
        output.write_text(json.dumps([asdict(one) for one in measured], indent=2) + "\n")


def killed(url: str, key: str, clients: int, events: int = 4000) -> str:
    """Kill the server in mid-load, and say what became of the acknowledged events."""
    with _server(_SERVE, url) as (port, process), ThreadPoolExecutor(1) as pool:
        future = pool.submit(_load, port, key, events, 10, clients)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        acknowledged = set(future.result().acknowledged)
    store = open_store(url)
    with store.read() as connection:
        stored = list(connection.scalars(select(MonitorEvent.event_id)))
    store.close()
    lost = acknowledged - set(stored)
    repeated = len(stored) - len(set(stored))
    if lost or repeated or not acknowledged or len(acknowledged) == events:
        raise AssertionError(
            f"{len(lost)} of {len(acknowledged)} acknowledged events are lost, {repeated} doubled"
        )
    return f"{len(acknowledged):,} of {events:,} events were acknowledged, all are stored once"


def prepare(url: str) -> str:
    """Migrate userdb at ``url``, and make a key that may send as much as it can."""
    store = open_store(url)
    upgrade(store)
    _, key = create_key(
        store,
        "bench",
        ["events:write"],
        by="benchmark",
        now=datetime.now(UTC),
        rate_limit="1000000/second",
    )
    store.close()
    return key


@contextmanager
def _server(command: Sequence[str], url: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, "USERDB_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise
                time.sleep(0.05)
        yield port, process
    finally:
        process.terminate()
        process.wait()


def _load(port: int, key: str, events: int, batch: int, clients: int) -> Load:
    """Send ``events`` events by ``clients`` connections at once."""
    with ThreadPoolExecutor(clients) as pool:
        each = events // clients
        began = time.perf_counter()
        parts = list(pool.map(lambda at: _client(port, key, each, batch, at), range(clients)))
        seconds = time.perf_counter() - began
    return Load(
        [mark for part in parts for mark in part.acknowledged],
        [latency for part in parts for latency in part.latencies_s],
        seconds,
    )


def _client(port: int, key: str, events: int, batch: int, number: int) -> Load:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    acknowledged: list[str] = []
    latencies: list[float] = []
    for at in range(0, events, batch):
        sent = [_event(number, time.time_ns() + one) for one in range(min(batch, events - at))]
        body = json.dumps(sent)
        began = time.perf_counter()
        try:
            connection.request("POST", _PATH, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            break  # the server was killed
        latencies.append(time.perf_counter() - began)
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {text!r}")
        acknowledged += [str(event["event_id"]) for event in sent]
    connection.close()
    return Load(acknowledged, latencies, 0.0)


def _event(client: int, mark: int) -> Mapping[str, object]:
    return {
        "event_id": f"{client}-{mark}",
        "message": "simulation 42 failed: interface timeout after 30 s",
        "level": "error",
        "service": f"sim-{client}",
        "occurred_at": datetime.now(UTC).isoformat(),
        "detail": {"job": 42, "node": "gpu-7", "attempt": 3},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Events over HTTP beside a bare handler")
    parser.add_argument("--events", type=int, default=4000, help="ten times as many in batches")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    given = parser.parse_args()
    main(given.events, given.clients, given.json)
