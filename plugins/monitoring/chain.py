"""The business chain, step by step: what DAG tasks, the command line and the API call.

collect → score_policies → update_alerts → notify
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from include.collectors.config import load_settings
from include.collectors.run import run_collector
from monitoring.alerts.history import AlertReport, update_alerts
from monitoring.log_context import bound, bound_window
from monitoring.notify import NotifyReport, notify, send_alert
from monitoring.policy.cadence import refuse_short_windows
from monitoring.policy.groups import Shard
from monitoring.policy.loader import Policies, load_policies
from monitoring.signals import CONTAINER
from monitoring.window import MINUTE, Window
from userdb.errors import MonitoringError
from userdb.ledger import CollectionReport, covered_minutes
from userdb.store import Store

if TYPE_CHECKING:
    from monitoring.evaluation import ScoreReport
    from monitoring.replay import Progress, ReplayReport

log = logging.getLogger(__name__)

__all__ = [
    "AnalysisReport",
    "analyze_and_alert",
    "catch_up",
    "collect",
    "notify",
    "policies_in_use",
    "replay",
    "score_policies",
    "send_alert",
    "update_alerts",
]


@dataclass(frozen=True)
class AnalysisReport:
    """What ``analyze_and_alert`` did, step by step; ``notifications`` is None where not asked."""

    scores: ScoreReport
    alerts: AlertReport
    notifications: NotifyReport | None


def collect(
    name: str,
    window: Window,
    store: Store,
    *,
    now: datetime,
    run_id: str | None = None,
    only: Collection[str] | None = None,
) -> CollectionReport:
    """Collect ``window`` with one collector, or ``only`` some of its sources: see
    ``include.collectors.run.run_collector``."""
    with bound_window(window, collector=name):
        try:
            report = run_collector(name, window, store, now=now, run_id=run_id, only=only)
        except MonitoringError as error:
            log.error("the collector %s failed: %s", name, error)
            raise
        for source in report.sources:
            if source.status == "failed":
                log.error("source %s failed: %s", source.source, source.message)
        with bound(
            rows=report.rows,
            rejected=report.rejected,
            late=report.late,
            duration_s=round(report.duration_s, 3),
        ):
            log.info("collected %d rows of %s from %s", report.rows, window, name)
        return report


def policies_in_use(path: Path | str | None = None) -> Policies:
    """The policies that are scored, and what is wrong with the others.

    Raises:
        PolicyError: there is no such folder or file.
        ConfigError: the collectors' settings are not valid.
    """
    cadences = {CONTAINER.name: load_settings().container_stats.cadence}
    return refuse_short_windows(load_policies(path), cadences)


def score_policies(
    window: Window,
    store: Store,
    *,
    now: datetime,
    register: bool = True,
    shard: Shard | None = None,
) -> ScoreReport:
    """Score the policies in use over ``window``: see ``monitoring.evaluation.score_policies``.

    Raises:
        WindowError: the window ends after ``now``.
        PolicyError: there is no folder of policies.
        ConfigError: the collectors' settings are not valid.
    """
    # pandas takes most of a second to import, and most steps, each a process in Airflow, need none
    from monitoring import evaluation

    with bound_window(window):
        return evaluation.score_policies(
            window, store, now=now, register=register, loaded=policies_in_use(), shard=shard
        )


def analyze_and_alert(
    window: Window,
    store: Store,
    *,
    now: datetime,
    register: bool = True,
    send: bool = True,
) -> AnalysisReport:
    """Score the policies over ``window``, bring the alert history up to date, and notify.

    Raises:
        WindowError: the window ends after ``now``.
        PolicyError: there is no folder of policies.
    """
    with bound_window(window):
        scores = score_policies(window, store, now=now, register=register)
        alerts = update_alerts(store, now=now)
        return AnalysisReport(scores, alerts, notify(store, now=now) if send else None)


def replay(
    window: Window,
    store: Store,
    *,
    now: datetime,
    only: Collection[str] | None = None,
    todays: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
    send: bool = True,
) -> tuple[ReplayReport, NotifyReport | None]:
    """Recompute ``window`` from what userdb holds: see ``monitoring.replay.replay``.

    With ``send``, receivers are told if what is true now changed by it; the second report is None
    where it did not.

    Raises:
        WindowError: the window ends after ``now``.
        PolicyError: there is no folder of policies, or no such policy.
        ConfigError: the collectors' settings are not valid.
    """
    from monitoring import replay as replaying  # pandas, as above

    with bound_window(window):
        report = replaying.replay(
            store,
            window,
            now=now,
            loaded=policies_in_use(),
            only=only,
            todays=todays,
            workers=workers,
            progress=progress,
        )
        return report, notify(store, now=now) if send and report.present_changed else None


def catch_up(window: Window, store: Store, collector: str, *, max_catchup: timedelta) -> Window:
    """``window``, begun earlier where the collector left a gap that ends at it.

    A gap reaches back to the last covered minute. Where nothing was collected within
    ``max_catchup`` there is nothing to join up with, and the window stays as it is: a longer gap
    is filled by a backfill.
    """
    reach = max_catchup // MINUTE
    first = window.first_minute - reach
    with store.read() as connection:
        covered = covered_minutes(connection, collector, first, window.first_minute)
    if not covered.any():
        return window
    gap = int(np.argmax(covered[::-1]))
    return window.extended(gap * MINUTE)
