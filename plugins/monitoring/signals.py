"""The catalogue of signals: what a policy can look at, where it is stored, and in what unit.

A signal lives in one family's minute table. Its kind says how minutes and series add up:

    count     a number a minute; a minute without a row is zero while the series exists
    ratio     sum of one column over sum of another; no value where the denominator is zero
    gauge     a measured value; no value in minutes without a sample
    quantile  from the histogram buckets of the family's table
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from userdb.latency import LATENCY_COLUMNS

Kind = Literal["count", "ratio", "gauge", "quantile"]
#: How a signal's minutes add up over a window.
Aggregate = Literal["last", "avg", "min", "max", "sum", "count", "quantile"]


@dataclass(frozen=True)
class Family:
    """A minute table: who fills it, and the labels that its series have."""

    name: str
    collector: str
    table: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Signal:
    """One thing to look at.

    ``columns`` are of the family's table: the value of a count or gauge; numerator and
    denominator of a ratio; the buckets of a quantile, in the order of their bounds.
    """

    name: str
    family: Family
    kind: Kind
    unit: str
    meaning: str
    columns: tuple[str, ...]
    #: how a gauge adds up over time where a policy doesn't say
    gauge_aggregate: Aggregate = "avg"

    @property
    def aggregate(self) -> Aggregate:
        """How its minutes add up over time where a policy doesn't say."""
        return "sum" if self.kind == "count" else self.gauge_aggregate


class Catalogue(Protocol):
    """Where policies look signals up."""

    def find(self, name: str, aggregate: Aggregate | None) -> Signal:
        """The signal ``name``, for a policy that aggregates it over time by ``aggregate``.

        Raises:
            ValueError: there is no such signal.
        """


EVENT = Family(
    "event",
    "gateway_exceptions",
    "event_minute",
    ("event_type", "level", "service", "instance", "container", "exception_type", "source"),
)
REQUEST = Family(
    "request", "request_logs", "request_minute", ("service", "route", "instance", "source")
)
CONTAINER = Family(
    "container", "container_stats", "container_sample", ("container", "service", "image", "host")
)
FAMILIES: Mapping[str, Family] = {family.name: family for family in (EVENT, REQUEST, CONTAINER)}
#: Collectors in the order of the chain.
COLLECTORS = tuple(family.collector for family in FAMILIES.values())


def _request_counts() -> list[Signal]:
    meanings = {
        "ok": "requests that were answered well (status below 400)",
        "client_error": "requests refused as the client's fault (4xx but 401, 403, 408, 499)",
        "auth_failure": "requests refused for lack of authentication or permission (401, 403)",
        "timeout": "requests that timed out or whose client gave up (504, 408, 499)",
        "server_error": "requests that failed in the service or gateway (5xx but 504)",
    }
    signals = []
    for column, meaning in meanings.items():
        plural = column if column == "ok" else column + "s"
        signals.append(
            Signal(f"requests.{plural}", REQUEST, "count", "requests", meaning, (column,))
        )
        signals.append(
            Signal(
                f"requests.{column}_ratio",
                REQUEST,
                "ratio",
                "share",
                f"share of {meaning}",
                (column, "requests"),
            )
        )
    return signals


_ALL = (
    Signal("events.count", EVENT, "count", "events", "events that were reported", ("events",)),
    Signal("requests.count", REQUEST, "count", "requests", "requests in all", ("requests",)),
    *_request_counts(),
    Signal("requests.bytes", REQUEST, "count", "bytes", "bytes sent to clients", ("bytes_sent",)),
    Signal(
        "requests.latency",
        REQUEST,
        "quantile",
        "ms",
        "latency quantile, interpolated within the histogram's bucket",
        LATENCY_COLUMNS,
    ),
    Signal(
        "requests.latency_avg",
        REQUEST,
        "ratio",
        "ms",
        "mean latency of the requests that have one",
        ("latency_sum_ms", "latency_count"),
    ),
    Signal("requests.latency_max", REQUEST, "gauge", "ms", "slowest request", ("latency_max_ms",)),
    Signal(
        "containers.cpu_percent",
        CONTAINER,
        "gauge",
        "percent",
        "CPU time since the previous sample; 100 is one core",
        ("cpu_percent",),
    ),
    Signal(
        "containers.cpu_limit_percent",
        CONTAINER,
        "gauge",
        "percent",
        "CPU time since the previous sample, of the cores that the container may use",
        ("cpu_limit_percent",),
    ),
    Signal(
        "containers.memory_percent",
        CONTAINER,
        "gauge",
        "percent",
        "memory in use, of the container's limit",
        ("memory_percent",),
    ),
    Signal(
        "containers.memory_bytes", CONTAINER, "gauge", "bytes", "memory in use", ("memory_bytes",)
    ),
    Signal("containers.pids", CONTAINER, "gauge", "processes", "processes", ("pids",)),
    Signal(
        "containers.restarts",
        CONTAINER,
        "count",
        "restarts",
        "restarts by the runtime since the previous sample",
        ("restarts_delta",),
    ),
    Signal(
        "containers.exits",
        CONTAINER,
        "count",
        "ends",
        "ends that nobody asked for since the previous sample",
        ("exits",),
    ),
    Signal(
        "containers.oom_kills",
        CONTAINER,
        "count",
        "kills",
        "times that memory ran out since the previous sample",
        ("oom_kills",),
    ),
    Signal(
        "containers.down",
        CONTAINER,
        "gauge",
        "0 or 1",
        "1 while the container should run and does not; a job that ended well need not",
        ("down",),
    ),
    Signal(
        "containers.undeclared",
        CONTAINER,
        "gauge",
        "0 or 1",
        "1 while the container runs and no manifest of its host declares it",
        ("undeclared",),
    ),
    Signal(
        "containers.wrong_image",
        CONTAINER,
        "gauge",
        "0 or 1",
        "1 while the container runs another image than its manifest declares",
        ("wrong_image",),
    ),
    Signal(
        "containers.wrong_limit",
        CONTAINER,
        "gauge",
        "0 or 1",
        "1 while the container has another limit of CPU or memory than its manifest declares",
        ("wrong_limit",),
    ),
    Signal(
        "containers.running",
        CONTAINER,
        "gauge",
        "0 or 1",
        "1 while the container runs, 0 while it exists and does not",
        ("running",),
    ),
    Signal(
        "containers.unhealthy",
        CONTAINER,
        "gauge",
        "0 or 1",
        "1 while the container's health check fails",
        ("unhealthy",),
    ),
    Signal(
        "containers.oom_killed",
        CONTAINER,
        "gauge",
        "0 or 1",
        "1 where the container was last ended for want of memory",
        ("oom_killed",),
    ),
)
SIGNALS: Mapping[str, Signal] = {signal.name: signal for signal in _ALL}
if len(SIGNALS) != len(_ALL):
    raise AssertionError("two signals have one name")


class StoredSignals:
    """The catalogue of what userdb holds."""

    def find(self, name: str, aggregate: Aggregate | None) -> Signal:
        """The signal ``name``, whatever the aggregate; ValueError where there is none."""
        if name not in SIGNALS:
            raise ValueError(f"unknown signal {name!r}; known are {', '.join(sorted(SIGNALS))}")
        return SIGNALS[name]


CATALOGUE: Catalogue = StoredSignals()
