"""The tasks of ``monitoring_upkeep``."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from monitoring import run_metrics
from monitoring.dag_tasks.run import opened
from monitoring.run_failures import Context, failure_told

if TYPE_CHECKING:
    from monitoring.notify import NotifyReport

log = logging.getLogger(__name__)

#: A run is made every minute: no try to deliver begins later in it.
DELIVERS_FOR_S = 30.0
#: No active health check of an instance goes on for longer in a run.
CHECKS_FOR_S = 40.0


def notify(context: Context) -> dict[str, Any]:
    """Tell receivers what is due between two runs of the chain: repeats, escalations, what an
    operator resolved; and deliver again what could not be delivered.

    A receiver that doesn't take its messages is no failure of this task: they stay in the outbox,
    every attempt is recorded, and the next run tries again.
    """
    with failure_told(context), opened(context) as store:
        from monitoring import chain

        report: NotifyReport = chain.notify(store, now=datetime.now(UTC), deadline_s=DELIVERS_FOR_S)
        run_metrics.notified(report)
        counts: dict[str, Any] = report.as_dict()
        return counts


def keep_registry(context: Context) -> dict[str, Any]:
    """Check registered instances, deregister those whose lease is over, and tell what changed.

    An instance that fails its check, or a service that its floor protects, is no failure of this
    task: events tell of them.
    """
    with failure_told(context), opened(context) as store:
        from monitoring.registry.upkeep import keep_up

        counts = keep_up(store, now=datetime.now(UTC), checks_for_s=CHECKS_FOR_S).as_dict()
        log.info("registry: %s", counts)
        return counts


def watch(context: Context) -> dict[str, Any]:
    """Tell the watchdog what is wrong with the chain, where it has not been told.

    That something is wrong is no failure of this task, not even that userdb can't be reached.
    """
    with failure_told(context):
        from monitoring import watch as watching
        from monitoring.watch_memory import Memory, memory_path

        found = watching.watch(
            Memory(memory_path()),
            now=datetime.now(UTC),
            limits=watching.Limits.from_environment(),
        )
        for subject, why in found.problems.items():
            log.warning("%s: %s", subject, why)
        return {
            "problems": dict(found.problems),
            "begun": list(found.begun),
            "over": list(found.over),
            "untold": list(found.untold),
        }
