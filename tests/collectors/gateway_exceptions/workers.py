"""Processes that report and collect at the same time; run as ``python -m``, ended by the test.

workers report PREFIX COUNT     reports COUNT events over USERDB_URL, else the spool
workers spool PREFIX COUNT      reports COUNT events into MONITORING_SPOOL only
workers collect                 collects in a loop until it is ended
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from monitoring.window import Window

from include.collectors.gateway_exceptions.collector import GatewayExceptions
from include.collectors.gateway_exceptions.settings import GatewayExceptionsSettings
from include.gateway_client import report_gateway_exception
from include.reporting import SpoolTransport, build_event
from userdb.store import open_store

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW = START + timedelta(hours=1)
WINDOW = Window(START, NOW)


def minute_of(number: int) -> datetime:
    return START + timedelta(seconds=37 * (number % 90))


def report(prefix: str, count: int) -> None:
    for number in range(count):
        report_gateway_exception(
            "m",
            event_id=f"{prefix}-{number}",
            service=f"s{number % 3}",
            instance="i",
            occurred_at=minute_of(number),
        )


def spool(prefix: str, count: int) -> None:
    transport = SpoolTransport()
    for number in range(count):
        event, _ = build_event(
            now=NOW,
            event_type="gateway",
            source="gateway_client",
            message="m",
            event_id=f"{prefix}-{number}",
            service=f"s{number % 3}",
            instance="i",
            occurred_at=minute_of(number),
        )
        transport.send([event])


def collect() -> None:
    store = open_store()
    collector = GatewayExceptions(GatewayExceptionsSettings())
    while True:
        collector.collect(WINDOW, store, now=NOW)
        print("collected", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["report", prefix, count]:
            report(prefix, int(count))
        case ["spool", prefix, count]:
            spool(prefix, int(count))
        case ["collect"]:
            collect()
        case other:
            raise SystemExit(f"unknown work: {other}")
