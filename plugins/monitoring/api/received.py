"""What became of the events that this server process was sent, since it started.

What is rejected is stored nowhere: this is where it can be seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from threading import Lock

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class ReceivedEvents(Collector):
    """Counts by source and result; Prometheus' own Counter would add a series of its birth."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._numbers: Counter[tuple[str, str]] = Counter()

    def add(self, source: str, *, stored: int, repeated: int, rejected: int) -> None:
        """Count what became of a request's events."""
        with self._lock:
            for result, number in (
                ("stored", stored),
                ("repeated", repeated),
                ("rejected", rejected),
            ):
                self._numbers[source, result] += number

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "monitoring_received_events",
            "Events that this server process was sent since it started.",
            labels=["source", "result"],
        )
        with self._lock:
            numbers = sorted(self._numbers.items())
        for labels, number in numbers:
            family.add_metric(labels, number)
        yield family
