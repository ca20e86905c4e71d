"""Request counts of routes with incidents, the same on every run, for userdb and VictoriaMetrics.

One row a minute and route, so that a quiet minute is a zero in both stores. Each route has a rate
of its own that swings with the hour, and incidents of each kind at random times: failures,
time-outs, refused logins, bad requests, slowness, floods and silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from userdb.bulk import bulk_insert
from userdb.latency import LATENCY_BOUNDS_MS, LATENCY_COLUMNS
from userdb.ledger import CollectionReport, SourceReport, record
from userdb.migrate import upgrade
from userdb.models import RequestMinute
from userdb.series import fingerprint, intern_series, touch_series
from userdb.store import Store
from userdb.times import from_minute, to_minute

DAY = 24 * 60
#: What policies look back from the first evaluation.
LEAD = 120
#: SQLite's write transactions hold the lock: at most so many rows each.
ROWS_PER_WRITE = 20_000
#: Kind of incident → the share of requests that it turns into that outcome.
FAILURES = {"client_error": 0.4, "auth_failure": 0.25, "timeout": 0.2, "server_error": 0.3}
USUAL = {"client_error": 0.01, "auth_failure": 0.002, "timeout": 0.002, "server_error": 0.003}
#: Incidents a route and kind in ten days, on average.
RATE = 1.0
#: The columns that the benchmark's policies look at, as VictoriaMetrics gets them.
METRICS = (
    "requests",
    "client_error",
    "auth_failure",
    "timeout",
    "server_error",
    "latency_sum_ms",
    "latency_count",
)


@dataclass(frozen=True)
class Traffic:
    """Evaluations are in (start, end]; samples begin LEAD minutes earlier."""

    routes: int
    days: int
    start: datetime = datetime(2024, 1, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return self.start + timedelta(days=self.days)

    @property
    def first(self) -> int:
        """The first minute with samples."""
        return to_minute(self.start) - LEAD

    @property
    def stop(self) -> int:
        return to_minute(self.end)

    @cached_property
    def labels(self) -> list[dict[str, str]]:
        return [{"service": f"s{at % 8}", "route": f"/r{at}"} for at in range(self.routes)]

    @cached_property
    def _incidents(self) -> dict[str, NDArray[np.bool_]]:
        """Kind → whether a route has that incident in a minute; each (minutes, routes)."""
        random = np.random.default_rng(7)
        minutes = self.stop - self.first
        found = {}
        for kind in (*FAILURES, "slow", "flood", "silence"):
            mask = np.zeros((minutes, self.routes), dtype=np.bool_)
            for route in range(self.routes):
                for _ in range(random.poisson(RATE * self.days / 10)):
                    begin = int(random.integers(0, minutes))
                    mask[begin : begin + int(random.integers(8, 180)), route] = True
            found[kind] = mask
        return found

    def parts(self) -> Iterator[dict[str, NDArray[np.int64] | NDArray[np.float64]]]:
        """Columns of request_minute by the half day, in the order of the primary key; ``route``
        instead of series_id."""
        half = DAY // 2
        for number, first in enumerate(range(self.first, self.stop, half)):
            yield self._part(number, first, min(first + half, self.stop))

    def _part(
        self, number: int, first: int, stop: int
    ) -> dict[str, NDArray[np.int64] | NDArray[np.float64]]:
        random = np.random.default_rng((11, number))
        routes = np.arange(self.routes)
        minutes = np.arange(first, stop)
        shape = (len(minutes), self.routes)
        here = slice(first - self.first, stop - self.first)
        incident = {kind: mask[here] for kind, mask in self._incidents.items()}
        hour = 1 + 0.6 * np.sin(2 * np.pi * minutes / DAY)
        rate = hour[:, np.newaxis] * (4 + 3 * (routes % 13))
        rate = np.where(incident["flood"], 12 * rate, rate)
        requests = random.poisson(np.where(incident["silence"], 0, rate))
        columns: dict[str, NDArray[np.int64] | NDArray[np.float64]] = {
            "minute": np.repeat(minutes, self.routes),
            "route": np.tile(routes, len(minutes)),
            "file_id": np.ones(requests.size, dtype=np.int64),
            "requests": requests.ravel(),
        }
        left = requests.copy()
        for kind, share in FAILURES.items():
            taken = random.binomial(left, np.where(incident[kind], share, USUAL[kind]))
            columns[kind] = taken.ravel()
            left -= taken
        columns["ok"] = left.ravel()
        columns["bytes_sent"] = requests.ravel() * 1500
        columns["latency_count"] = requests.ravel()
        mean = np.where(incident["slow"], 9.0, 1.0) * (30 + 10 * (routes % 17))
        total = np.round(random.standard_gamma(np.maximum(2 * requests, 1)) * mean / 2, 3)
        columns["latency_sum_ms"] = np.where(requests, total, 0.0).ravel()
        columns["latency_max_ms"] = np.where(requests, np.round(total, 0), np.nan).ravel()
        # exponential latencies, cut at the buckets' bounds
        below = -np.expm1(-np.array(LATENCY_BOUNDS_MS)[:, np.newaxis, np.newaxis] / mean)
        done, reached = np.zeros(shape, dtype=np.int64), np.zeros(shape)
        for name, upper in zip(LATENCY_COLUMNS, [*below, np.ones(shape)], strict=True):
            share = np.clip((upper - reached) / np.maximum(1 - reached, 1e-12), 0, 1)
            taken = random.binomial(requests - done, share)
            columns[name] = taken.ravel()
            done, reached = done + taken, upper
        return columns


def fill_userdb(store: Store, traffic: Traffic) -> None:
    """Create the schema, and write the traffic and the ledger that says it was collected."""
    upgrade(store)
    marks = store.write(lambda connection: intern_series(connection, "request", traffic.labels))
    ids = np.array([marks[fingerprint(labels)] for labels in traffic.labels])
    for part in traffic.parts():
        rows = pd.DataFrame(part)
        rows["series_id"] = ids[rows.pop("route").to_numpy()]
        for at in range(0, len(rows), ROWS_PER_WRITE):
            chunk = rows.iloc[at : at + ROWS_PER_WRITE]
            store.write(
                lambda connection, chunk=chunk: bulk_insert(connection, RequestMinute, chunk)
            )
    report = CollectionReport(
        "request_logs",
        from_minute(traffic.first),
        traffic.end,
        (SourceReport("gateway", "ok"),),
        traffic.end,
        0.0,
    )

    def ledger(connection) -> None:
        touch_series(connection, dict.fromkeys(ids.tolist(), (traffic.first, traffic.stop - 1)))
        record(connection, report, "request", None)

    store.write(ledger)


def import_lines(traffic: Traffic) -> Iterator[bytes]:
    """The traffic in VictoriaMetrics' import format, by the half day: a sample lies at the end of
    its minute, so that the lookback (t - 5m, t] holds the minutes that end in it."""
    for part in traffic.parts():
        minutes = part["minute"][:: traffic.routes]
        timestamps = ((minutes + 1) * 60_000).tolist()
        lines = []
        for name in METRICS:
            matrix = part[name].reshape(len(minutes), traffic.routes)
            for route, labels in enumerate(traffic.labels):
                line = {
                    "metric": {"__name__": name, **labels},
                    "values": matrix[:, route].tolist(),
                    "timestamps": timestamps,
                }
                lines.append(json.dumps(line))
        yield "\n".join(lines).encode()
