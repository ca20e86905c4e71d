"""The chain's own numbers, sent where Airflow sends its metrics: StatsD or OpenTelemetry.

Airflow's section ``[metrics]`` says where, and under which prefix; nothing is sent where that
switches nothing on. Names, not tags, tell collectors apart, as plain StatsD has no tags. What
``docs/operating/metrics.md`` lists is held by a test.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from airflow.sdk.observability import stats

if TYPE_CHECKING:
    from monitoring.alerts.history import AlertReport
    from monitoring.evaluation import ScoreReport
    from monitoring.notify import NotifyReport
    from userdb.ledger import CollectionReport


_PREFIX = "monitoring"


def collected(report: CollectionReport, *, now: datetime, is_live: bool) -> None:
    """Tell of a window that a collector tried.

    Args:
        is_live: whether the window is the present's; how late a backfill is says nothing.
    """
    name = f"collect.{report.collector}"
    _count(f"{name}.windows", 1)
    _count(f"{name}.rows", report.rows)
    _count(f"{name}.rejected", report.rejected)
    _count(f"{name}.late", report.late)
    _count(f"{name}.failed_sources", sum(one.status == "failed" for one in report.sources))
    stats.timing(f"{_PREFIX}.{name}.duration", report.duration_s * 1000)
    if is_live:
        _gauge(f"{name}.lateness_seconds", (now - report.end).total_seconds())


def scored(report: ScoreReport) -> None:
    """Tell of a window that policies were scored over."""
    _count("score.evaluations", report.evaluations)
    _count("score.unknown", report.unknown)
    _count("score.failed_policies", len(report.errors))


def alerts_changed(report: AlertReport) -> None:
    """Tell of transitions by the state that they lead to."""
    _count("alerts.pending", report.pending)
    _count("alerts.fired", report.firing)
    _count("alerts.resolved", report.resolved)
    _count("alerts.superseded", report.superseded)


def notified(report: NotifyReport) -> None:
    """Tell of messages."""
    _count("notify.sent", report.sent)
    _count("notify.failed_attempts", report.failed_attempts)
    _count("notify.dead", report.dead)
    _gauge("notify.waiting", report.pending)
    _gauge("notify.stale_policies", len(report.stale))


def _count(name: str, number: int) -> None:
    stats.incr(f"{_PREFIX}.{name}", number)


def _gauge(name: str, value: float) -> None:
    stats.gauge(f"{_PREFIX}.{name}", value)
