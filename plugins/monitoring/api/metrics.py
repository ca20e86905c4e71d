"""Route: the chain's own health for Prometheus. Read from userdb at each scrape, so that it is the
same whichever server process answers, and one that was just started knows all. The events that
were received are the only counts of the process itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from monitoring.api.access import requires
from monitoring.api.store import StoreDep
from monitoring.chain_numbers import ChainNumbers, read_numbers
from monitoring.ledger_totals import LedgerSums
from monitoring.signals import COLLECTORS

router = APIRouter(tags=["health"], dependencies=[Depends(requires("read"))])

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class ChainCollector(Collector):
    """The numbers as metric families."""

    def __init__(self, numbers: ChainNumbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        yield from self._policies()
        yield from self._collectors()
        yield from self._ledger()
        yield from self._told()
        schema = InfoMetricFamily("monitoring_schema", "Revision of userdb's schema.")
        schema.add_metric(
            [], {"revision": self._numbers.status.revision or "", "needed": self._numbers.needed}
        )
        yield schema

    def _policies(self) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "monitoring_policy_watermark_age_seconds",
            "Time since the newest evaluation of a policy.",
            labels=["policy"],
        )
        stale = GaugeMetricFamily(
            "monitoring_policy_stale",
            "Whether a policy's state is too old to be told: nothing new is sent.",
            labels=["policy"],
        )
        status = self._numbers.status
        for one in status.policies:
            if one.watermark is not None:
                age.add_metric([one.policy], (status.now - one.watermark).total_seconds())
            stale.add_metric([one.policy], one.stale)
        yield from (age, stale)
        alerts = GaugeMetricFamily(
            "monitoring_alerts",
            "Alerts that are pending or firing.",
            labels=["policy", "severity", "state"],
        )
        for labels, number in sorted(self._numbers.alerts.items()):
            alerts.add_metric(labels, number)
        yield alerts
        dirty = GaugeMetricFamily(
            "monitoring_dirty_tokens",
            "Changes of facts that a policy has not taken in yet.",
            labels=["policy"],
        )
        for policy, number in sorted(self._numbers.dirty.items()):
            dirty.add_metric([policy], number)
        yield dirty

    def _collectors(self) -> Iterator[Metric]:
        success = GaugeMetricFamily(
            "monitoring_collector_last_success_timestamp_seconds",
            "End of the newest window that was collected completely, since 1970.",
            labels=["collector"],
        )
        covered = GaugeMetricFamily(
            "monitoring_collector_covered_ratio",
            "Share of the last 24 hours that was collected.",
            labels=["collector"],
        )
        overdue = GaugeMetricFamily(
            "monitoring_collector_overdue_windows",
            "Gaps in the last 24 hours that nobody has collected.",
            labels=["collector"],
        )
        missing = GaugeMetricFamily(
            "monitoring_collector_overdue_seconds",
            "Length of these gaps.",
            labels=["collector"],
        )
        for one in self._numbers.status.collectors:
            if one.last_ok is not None:
                success.add_metric([one.name], one.last_ok.end.timestamp())
            covered.add_metric([one.name], one.covered_share)
            overdue.add_metric([one.name], len(one.missing))
            missing.add_metric(
                [one.name], sum((gap.end - gap.start).total_seconds() for gap in one.missing)
            )
        yield from (success, covered, overdue, missing)

    def _ledger(self) -> Iterator[Metric]:
        counters = {
            name: CounterMetricFamily(f"monitoring_collected_{name}", text, labels=["collector"])
            for name, text in (
                ("rows", "Rows that were collected, by the ledger."),
                ("rejected_rows", "Inputs that could not be taken."),
                ("late_rows", "Rows that came after their window had been collected."),
            )
        }
        windows = CounterMetricFamily(
            "monitoring_collections",
            "Windows that were tried, for each of their sources.",
            labels=["collector", "status"],
        )
        for name, one in sorted(self._numbers.ledger.items()):
            counters["rows"].add_metric([name], one.rows)
            counters["rejected_rows"].add_metric([name], one.rejected)
            counters["late_rows"].add_metric([name], one.late)
            for status, number in sorted(one.attempts.items()):
                windows.add_metric([name, status], number)
        yield from (*counters.values(), windows)

    def _told(self) -> Iterator[Metric]:
        deliveries = GaugeMetricFamily(
            "monitoring_deliveries",
            "Messages that are held, by how far they have come.",
            labels=["receiver", "state"],
        )
        for labels, number in sorted(self._numbers.deliveries.items()):
            deliveries.add_metric(labels, number)
        yield deliveries
        dead = GaugeMetricFamily(
            "monitoring_dead_letters", "Messages that were given up, of all receivers."
        )
        dead.add_metric([], self._numbers.status.dead_deliveries)
        yield dead


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(store: StoreDep, request: Request) -> Any:
    """The chain's own health and counts, in Prometheus' text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    ledger = request.app.state.ledger_sums.setdefault(str(store.url), LedgerSums())
    numbers = read_numbers(store, now=datetime.now(UTC), collectors=COLLECTORS, ledger=ledger)
    registry.register(ChainCollector(numbers))
    registry.register(request.app.state.received)
    return Response(generate_latest(registry), media_type=_TEXT)
