"""Deliveries per second through 1, 10 and 100 receivers, beside a plain loop of requests.

    python -m benchmarks.deliveries [--messages 600] [--json FILE]

Of 10 and of 100 receivers one hangs and one answers 500. Measured is the time from the start to
the last message that a healthy receiver got. The loop posts the same bodies with one
``requests.Session``, receiver by receiver in turn, once to those that are healthy (the floor:
nothing is stored, nothing is tried again) and once to all, with the same time limit of two
seconds. Ours stores each claim and each attempt in userdb, so that a crash loses nothing.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from monitoring.notify import Receiver, deliver
from monitoring.notify.outbox import SENT, enqueue
from monitoring.notify.payload import Group, firing_alert, message
from sqlalchemy import func, select

from tests.servers.mariadb import run_mariadb
from userdb.migrate import upgrade
from userdb.models import Delivery
from userdb.store import Store, open_store

TIMEOUT_S = 2.0
START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Measured:
    """A way to deliver: messages that healthy receivers got, a second."""

    receivers: int
    way: str
    messages: int
    seconds: float
    ratio: float

    @property
    def rate(self) -> float:
        return self.messages / self.seconds


def main(messages: int, output: Path | None) -> None:
    logging.disable()  # every failed try is a line
    measured: list[Measured] = []
    print("| receivers | way | messages to healthy ones | s | messages/s | ratio to the floor |")
    print("|---:|---|---:|---:|---:|---:|", flush=True)
    with _hooks() as base, run_mariadb() as server:
        for number in (1, 10, 100):
            for one in _measure(base, server.create_database(f"n{number}"), number, messages):
                measured.append(one)
                print(
                    f"| {number} | {one.way} | {one.messages} | {one.seconds:.2f} "
                    f"| {one.rate:.0f} | {one.ratio:.2f} |",
                    flush=True,
                )
    if output is not None:
        lines = [{**asdict(one), "rate": one.rate} for one in measured]
        output.write_text(json.dumps(lines, indent=2) + "\n")


def _measure(base: str, mariadb: str, number: int, messages: int) -> Iterator[Measured]:
    receivers = list(_receivers(base, number))
    each = messages // number
    healthy = [one for one in receivers if "/ok" in one.url]
    sent = each * len(healthy)
    floor = _loop(healthy, each)
    yield Measured(number, "plain loop, healthy receivers alone", sent, floor, 1.0)
    if len(healthy) < number:
        # a message to each is enough to see what one that hangs costs
        some = _loop(receivers, 1)
        yield Measured(
            number, "plain loop, all (one message each)", len(healthy), some, some / floor * each
        )
    with tempfile.TemporaryDirectory() as folder:
        for name, url in (("SQLite", f"sqlite:///{folder}/userdb.sqlite"), ("MariaDB", mariadb)):
            seconds = _ours(url, receivers, healthy, each)
            yield Measured(number, f"deliver, {name}", sent, seconds, seconds / floor)


def _receivers(base: str, number: int) -> Iterator[Receiver]:
    for at in range(number):
        path = "ok" if number == 1 else {0: "hang", 1: "fail"}.get(at, "ok")
        yield Receiver(f"r{at:03}", f"{base}/{path}{at}", timeout_s=TIMEOUT_S)


def _payload(receiver: str, at: int) -> dict[str, Any]:
    labels = {"alertname": "timeouts", "service": f"sim-{at}", "severity": "warning"}
    alert = firing_alert(labels, {"summary": "20 % of requests time out"}, START, "")
    return dict(message(receiver, Group({"service": f"sim-{at}"}), [alert], external_url=""))


def _loop(receivers: Sequence[Receiver], each: int) -> float:
    began = time.perf_counter()
    with requests.Session() as session:
        for at in range(each):
            for one in receivers:
                with suppress(requests.RequestException):
                    session.post(one.url, json=_payload(one.name, at), timeout=TIMEOUT_S)
    return time.perf_counter() - began


def _ours(url: str, receivers: Sequence[Receiver], healthy: Sequence[Receiver], each: int) -> float:
    store = open_store(url)
    upgrade(store)
    for one in receivers:
        for at in range(each):
            store.write(_enqueued(one.name, at))
    # deliver() waits for the one that hangs too: what counts is when the others had theirs
    deliver(store, now=START, receivers=receivers, deadline_s=10 * TIMEOUT_S)
    seconds = _last_sent(store, [one.name for one in healthy], each)
    store.close()
    return seconds


def _enqueued(receiver: str, at: int) -> Any:
    return lambda connection: enqueue(
        connection, receiver, f"group {at}", [_payload(receiver, at)], START
    )


def _last_sent(store: Store, names: Sequence[str], each: int) -> float:
    with store.read() as connection:
        number, last = connection.execute(
            select(func.count(), func.max(Delivery.finished_at)).where(
                Delivery.receiver.in_(names), Delivery.status == SENT
            )
        ).one()
    if number != each * len(names):
        raise AssertionError(f"{number} of {each * len(names)} messages were sent in time")
    return float((last - START).total_seconds())


@contextmanager
def _hooks() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hooks_server"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Deliveries beside a plain loop")
    parser.add_argument("--messages", type=int, default=600, help="in all, shared by receivers")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    given = parser.parse_args()
    main(given.messages, given.json)
