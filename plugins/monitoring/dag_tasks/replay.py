"""The tasks of ``monitoring_replay``."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from monitoring.dag_tasks.reports import (
    collection_counts,
    raise_for_failed_sources,
    raise_for_policies,
)
from monitoring.dag_tasks.run import opened, run_window
from monitoring.run_failures import Context, failure_told, merged
from monitoring.window import Window
from userdb.errors import MonitoringError, WindowError

log = logging.getLogger(__name__)


def days(context: Context) -> list[list[str]]:
    """The days of the range that the run replays, each as [start, end]; none where the param
    ``collect`` is false.

    Raises:
        WindowError: the params make no range, or it ends after now.
    """
    with failure_told(context):
        window = _replayed(context, datetime.now(UTC))
        if not context["params"]["collect"]:
            return []
        edges = [window.start]
        while edges[-1] < window.end:
            midnight = edges[-1].replace(hour=0, minute=0) + timedelta(days=1)
            edges.append(min(midnight, window.end))
        return [[low.isoformat(), high.isoformat()] for low, high in pairwise(edges)]


def collect_day(bounds: list[str], context: Context) -> dict[str, Any]:
    """Collect a day of a replay with every collector; live state of the past is no failure.

    Raises:
        CollectionError: a source failed. What the others gave is stored.
        MonitoringError: a collector failed as a whole; the same is true of the others.
    """
    now = datetime.now(UTC)
    start, end = (datetime.fromisoformat(bound) for bound in bounds)
    with failure_told(context), opened(context) as store:
        from monitoring import chain
        from monitoring.signals import COLLECTORS

        window = Window(start, end)
        counts: dict[str, Any] = {}
        errors: list[MonitoringError] = []
        for name in COLLECTORS:
            try:
                report = chain.collect(name, window, store, now=now, run_id=context["run_id"])
                counts[name] = collection_counts(report)
                raise_for_failed_sources(report)
            except MonitoringError as error:
                errors.append(error)
        if errors:
            raise merged(errors) from errors[0]
        return counts


def replay(context: Context) -> dict[str, Any]:
    """Recompute the range's alerts from what userdb holds, and tell receivers if what is true now
    changed by it.

    Raises:
        AirflowFailException: a policy is wrong. The others are recomputed.
    """
    now = datetime.now(UTC)
    params = context["params"]
    with failure_told(context), opened(context) as store:
        from monitoring import chain

        report, notified = chain.replay(
            _replayed(context, now),
            store,
            now=now,
            only=params["policies"] or None,
            todays=params["definitions"] == "today",
            send=params["notify"] != "no",
        )
        changes = Counter(one.what for one in report.changes)
        counts = {
            "policies": report.policies,
            "evaluations": report.evaluations,
            "episodes": dict(changes),
            "present_changed": report.present_changed,
            "notified": None if notified is None else notified.as_dict(),
        }
        log.info("replayed: %s", counts)
        for one in report.changes:
            log.info("%s: %s %s, active at %s", one.what, one.policy, one.labels, one.active_at)
        raise_for_policies(report.errors)
        return counts


def _replayed(context: Context, now: datetime) -> Window:
    """The range of a replay: its params alone, as nobody replays by chance."""
    params = context["params"]
    if not (params.get("window_start") and params.get("window_end")):
        raise WindowError("a replay needs window_start and window_end")
    return run_window(context, now)
