"""The tasks of ``monitoring_chain``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from monitoring import run_metrics
from monitoring.dag_tasks.reports import (
    bounds_of,
    collection_counts,
    raise_for_failed_sources,
    raise_for_policies,
)
from monitoring.dag_tasks.run import MAX_CATCHUP, opened, run_type, run_window
from monitoring.evaluation_gap import catch_up_evaluation
from monitoring.run_failures import WINDOW, Context, failure_told
from monitoring.window import Window

if TYPE_CHECKING:
    from monitoring.alerts.history import AlertReport
    from monitoring.evaluation import ScoreReport
    from monitoring.notify import NotifyReport
    from monitoring.policy.groups import Shard

#: A try that took longer isn't tried again within the run: the next run makes up for it.
MAX_RETRIED_SECONDS = 30.0


def collect(name: str, context: Context, sources: Sequence[str] | None = None) -> dict[str, Any]:
    """Collect the run's window with the collector ``name``, or with some of its sources.

    A scheduled run first extends its window over the ledger's gap that ends at it.

    Raises:
        CollectionError: a source failed. What the other sources gave is stored.
    """
    now = datetime.now(UTC)
    with failure_told(context, retried_within_s=MAX_RETRIED_SECONDS), opened(context) as store:
        from monitoring import chain

        window = run_window(context, now)
        if run_type(context) == "scheduled":
            window = chain.catch_up(window, store, name, max_catchup=MAX_CATCHUP)
        context["ti"].xcom_push(key=WINDOW, value=bounds_of(window))
        report = chain.collect(name, window, store, now=now, run_id=context["run_id"], only=sources)
        live = run_type(context) == "scheduled"
        run_metrics.collected(report, now=datetime.now(UTC), is_live=live)
        counts = collection_counts(report)
        raise_for_failed_sources(report)
        return counts


def score_policies(context: Context, shard: tuple[int, int] | None = None) -> dict[str, Any]:
    """Evaluate every policy over the run's window and the downtime that collectors made up for; or
    only those of a ``shard``: its number, counted from 0, and how many there are.

    A scheduled run also evaluates what earlier ones collected and did not come to evaluate. A
    backfill registers no policy versions: it looks at the past, and changes no definition.

    Raises:
        AirflowFailException: a policy is wrong. The others are evaluated.
    """
    now = datetime.now(UTC)
    with failure_told(context), opened(context) as store:
        from monitoring import chain

        window = _collected_window(context, run_window(context, now))
        if run_type(context) == "scheduled":
            window = catch_up_evaluation(window, store, max_catchup=MAX_CATCHUP)
        report: ScoreReport = chain.score_policies(
            window,
            store,
            now=now,
            register=run_type(context) != "backfill",
            shard=_shard(shard),
        )
        run_metrics.scored(report)
        counts = {WINDOW: bounds_of(window), **report.as_dict()}
        raise_for_policies(report.errors)
        return counts


def update_alerts(context: Context, shard: tuple[int, int] | None = None) -> dict[str, Any]:
    """Fold scores into alerts and their history, of all policies or a ``shard`` of them.

    Raises:
        AirflowFailException: a policy's alerts could not be updated. The others' are.
    """
    with failure_told(context), opened(context) as store:
        from monitoring import chain

        report: AlertReport = chain.update_alerts(store, now=datetime.now(UTC), shard=_shard(shard))
        run_metrics.alerts_changed(report)
        counts: dict[str, Any] = report.as_dict()
        raise_for_policies(report.errors)
        return counts


def notify(context: Context) -> dict[str, Any]:
    """Tell receivers what is true now, unless the run is not to.

    Raises:
        AirflowSkipException: the param ``notify`` is ``no``, or ``auto`` in a backfill.
        AirflowFailException: a receiver did not get its messages. They stay in the outbox, and
            the other receivers got theirs.
    """
    asked = context["params"].get("notify") or "auto"
    if asked == "no" or (asked == "auto" and run_type(context) == "backfill"):
        raise AirflowSkipException(
            f"this {run_type(context)} run notifies nobody (param notify is {asked})"
        )
    with failure_told(context), opened(context) as store:
        from monitoring import chain

        report: NotifyReport = chain.notify(store, now=datetime.now(UTC))
        run_metrics.notified(report)
        counts: dict[str, Any] = report.as_dict()
        if report.errors or report.dead:
            # not tried again: the step has used its time for tries of its own
            listed = "; ".join(f"{name}: {why}" for name, why in report.errors.items())
            raise AirflowFailException(
                f"{report.pending} messages are pending and {report.dead} were given up: {listed}"
            )
        return counts


def _collected_window(context: Context, window: Window) -> Window:
    """``window``, extended to the earliest start that a collector of this run chose."""
    chosen = context["ti"].xcom_pull(task_ids=sorted(context["task"].upstream_task_ids), key=WINDOW)
    starts = [datetime.fromisoformat(bounds[0]) for bounds in chosen or () if bounds]
    return Window(min([window.start, *starts]), window.end)


def _shard(numbers: tuple[int, int] | None) -> Shard | None:
    from monitoring.policy.groups import Shard

    return None if numbers is None else Shard(*numbers)
