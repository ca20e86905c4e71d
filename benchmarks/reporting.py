"""What a report costs its caller: microseconds a call, beside a bare ``queue.put``.

    python -m benchmarks.reporting [--calls 5000] [--json FILE]

The server of tests/servers/events_api.py is up, hangs (it never answers), or is away (nothing
listens). ``send`` is the transport with an event that is made already; ``report`` is all of
``report_gateway_exception``. Last, how much a process loses that is killed with SIGKILL while it
reports as fast as it can and nothing can be delivered.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from typing import Any

from include.gateway_client import report_gateway_exception
from include.reporting import HttpSettings, HttpTransport, build_event
from include.reporting.spool import decode_event
from tests.servers.events_api import KEY, run_events_api

_KILLS = 5
_FOREVER = """
import itertools, os, time
from include.gateway_client import report_gateway_exception
for number in itertools.count():
    report_gateway_exception("m" * 200, event_id=str(number))
    os.write(1, f"{number} {time.monotonic()}\\n".encode())
"""


@dataclass(frozen=True)
class Measured:
    """A call's cost in microseconds; ``ratio`` to a bare ``queue.put``."""

    call: str
    server: str
    median_us: float
    p99_us: float
    max_us: float
    ratio: float


def main(calls: int, output: Path | None) -> None:
    print("| call | server | median µs | p99 µs | max µs | ratio of medians |")
    print("|---|---|---:|---:|---:|---:|", flush=True)
    measured: list[Measured] = []
    for one in _measure(calls):
        measured.append(one)
        print(
            f"| {one.call} | {one.server} | {one.median_us:.1f} | {one.p99_us:.0f} "
            f"| {one.max_us:.0f} | {one.ratio:.0f} |",
            flush=True,
        )
    lost = {
        mode: max((_killed(durable) for _ in range(_KILLS)), key=lambda one: one[1:])
        for mode, durable in (("queued", ""), ("durable", "true"))
    }
    print(
        f"\n| mode, worst of {_KILLS} | reported before SIGKILL | lost | oldest lost, ms before |"
    )
    print("|---|---:|---:|---:|")
    for mode, (told, gone, age_ms) in lost.items():
        print(f"| {mode} | {told} | {gone} | {age_ms:.1f} |", flush=True)
    if output is not None:
        document = {"calls": [asdict(one) for one in measured], "killed": lost}
        output.write_text(json.dumps(document, indent=2) + "\n")


def _measure(calls: int) -> Iterator[Measured]:
    event, _ = build_event(
        now=datetime.now(UTC), event_type="gateway", source="benchmark", message="m" * 200
    )
    floor_queue: Queue[Any] = Queue()
    floor = _timed(lambda: floor_queue.put(event), calls)
    yield _row("queue.put", "", floor, floor)
    for name in ("up", "hangs", "away"):
        with _served(name) as settings:
            transport = HttpTransport(settings)
            yield _row("send", name, _timed(lambda t=transport: t.send([event]), calls), floor)
            transport.stop()
        with _served(name) as settings, _environment(settings):
            yield _row("report", name, _timed(_report, calls), floor)
        with _served(name) as settings, _environment(settings, MONITORING_DURABLE="true"):
            yield _row("report, durable", name, _timed(_report, calls // 10), floor)


def _report() -> None:
    report_gateway_exception("m" * 200)


def _timed(call: Callable[[], object], calls: int) -> list[float]:
    """Microseconds of each call. With pauses: nobody fails without end, and queues are bounded."""
    call()  # threads begin with the first
    times = []
    for number in range(calls):
        began = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - began) / 1000)
        if number % 100 == 99:
            time.sleep(0.005)
    return times


def _row(call: str, server: str, times: list[float], floor: list[float]) -> Measured:
    median = statistics.median(times)
    return Measured(
        call,
        server,
        median,
        statistics.quantiles(times, n=100)[98],
        max(times),
        median / statistics.median(floor),
    )


@contextmanager
def _served(name: str) -> Iterator[HttpSettings]:
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        run_events_api(Path(folder) / "api") as api,
    ):
        if name == "hangs":
            api.behave(hang_s=3600)
        elif name == "away":
            api.kill()
        yield HttpSettings(api.url, KEY, spool=Path(folder) / "spool", flush_s=0)


@contextmanager
def _environment(settings: HttpSettings, **more: str) -> Iterator[None]:
    names = {
        "MONITORING_URL": settings.url,
        "MONITORING_API_KEY": settings.api_key,
        "MONITORING_SPOOL": str(settings.spool),
        "MONITORING_FLUSH_TIMEOUT": "0",
        **more,
    }
    before = dict(os.environ)
    os.environ.update(names)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _killed(durable: str) -> tuple[int, int, float]:
    """Reported, lost, and how long before the kill the oldest lost one was reported, in ms."""
    with _served("hangs") as settings, _environment(settings, MONITORING_DURABLE=durable):
        with subprocess.Popen([sys.executable, "-c", _FOREVER], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            time.sleep(1)
            killed = time.monotonic()
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        told = {number.decode(): float(at) for number, at in (line.split() for line in lines)}
        kept = {
            decode_event(line).event_id
            for path in settings.spool.iterdir()
            for line in path.read_bytes().splitlines()
        }
    ages = [killed - at for number, at in told.items() if number not in kept]
    return len(told), len(ages), max(ages, default=0.0) * 1000


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What a report costs its caller")
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    given = parser.parse_args()
    main(given.calls, given.json)
