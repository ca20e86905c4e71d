"""What the tasks of ``dags/`` call: the edge between a DAG run and the chain.

Each function is the whole body of one task. It reads the clock, asks ``resolve_window`` which
window the run is for, opens userdb, makes one call into the chain and returns a few counts for
XCom. What becomes of a task that fails is in ``monitoring.run_failures``; imports that can fail
are inside its hold, so that a broken installation is told like any other failure.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.log import mask_secret

from monitoring import run_metrics
from monitoring.evaluation_gap import catch_up_evaluation
from monitoring.log_context import bound, bound_window
from monitoring.log_format import secrets_of
from monitoring.run_failures import WINDOW, Context, failure_told
from monitoring.window import Window, resolve_window
from userdb.errors import CollectionError, WindowError
from userdb.ledger import CollectionReport
from userdb.migrate import require_current
from userdb.store import Store, open_store

if TYPE_CHECKING:
    from monitoring.alerts.history import AlertReport
    from monitoring.evaluation import ScoreReport
    from monitoring.notify import NotifyReport
    from monitoring.policy.groups import Shard

log = logging.getLogger(__name__)

#: The schedule's period: a run without interval and params is for the last complete one.
PERIOD = timedelta(minutes=5)
#: How far back a scheduled run makes up for downtime.
MAX_CATCHUP = timedelta(hours=24)
#: A try that took longer isn't tried again within the run: the next run makes up for it.
MAX_RETRIED_SECONDS = 30.0
#: Upkeep runs every minute: no try to deliver begins later in a run.
UPKEEP_DELIVERS_FOR_S = 30.0
#: No active health check of an instance goes on for longer in a run.
UPKEEP_CHECKS_FOR_S = 40.0


def collect(name: str, context: Context, sources: Sequence[str] | None = None) -> dict[str, Any]:
    """Collect the run's window with the collector ``name``, or with some of its sources.

    A scheduled run first extends its window over the ledger's gap that ends at it.

    Raises:
        CollectionError: a source failed. What the other sources gave is stored.
    """
    now = datetime.now(UTC)
    with failure_told(context, retried_within_s=MAX_RETRIED_SECONDS), _opened(context) as store:
        from monitoring import chain

        window = run_window(context, now)
        if _run_type(context) == "scheduled":
            window = chain.catch_up(window, store, name, max_catchup=MAX_CATCHUP)
        context["ti"].xcom_push(key=WINDOW, value=_bounds(window))
        report = chain.collect(name, window, store, now=now, run_id=context["run_id"], only=sources)
        live = _run_type(context) == "scheduled"
        run_metrics.collected(report, now=datetime.now(UTC), is_live=live)
        counts = _collection_counts(report)
        _raise_for_failed_sources(report)
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
    with failure_told(context), _opened(context) as store:
        from monitoring import chain

        window = _collected_window(context, run_window(context, now))
        if _run_type(context) == "scheduled":
            window = catch_up_evaluation(window, store, max_catchup=MAX_CATCHUP)
        report: ScoreReport = chain.score_policies(
            window,
            store,
            now=now,
            register=_run_type(context) != "backfill",
            shard=_shard(shard),
        )
        run_metrics.scored(report)
        counts = {WINDOW: _bounds(window), **report.as_dict()}
        _raise_for_policies(report.errors)
        return counts


def update_alerts(context: Context, shard: tuple[int, int] | None = None) -> dict[str, Any]:
    """Fold scores into alerts and their history, of all policies or a ``shard`` of them.

    Raises:
        AirflowFailException: a policy's alerts could not be updated. The others' are.
    """
    with failure_told(context), _opened(context) as store:
        from monitoring import chain

        report: AlertReport = chain.update_alerts(store, now=datetime.now(UTC), shard=_shard(shard))
        run_metrics.alerts_changed(report)
        counts: dict[str, Any] = report.as_dict()
        _raise_for_policies(report.errors)
        return counts


def notify(context: Context) -> dict[str, Any]:
    """Tell receivers what is true now, unless the run is not to.

    Raises:
        AirflowSkipException: the param ``notify`` is ``no``, or ``auto`` in a backfill.
        AirflowFailException: a receiver did not get its messages. They stay in the outbox, and
            the other receivers got theirs.
    """
    asked = context["params"].get("notify") or "auto"
    if asked == "no" or (asked == "auto" and _run_type(context) == "backfill"):
        raise AirflowSkipException(
            f"this {_run_type(context)} run notifies nobody (param notify is {asked})"
        )
    with failure_told(context), _opened(context) as store:
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


def replay_days(context: Context) -> list[list[str]]:
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
    """
    now = datetime.now(UTC)
    start, end = (datetime.fromisoformat(bound) for bound in bounds)
    with failure_told(context), _opened(context) as store:
        from monitoring import chain
        from monitoring.signals import COLLECTORS

        window = Window(start, end)
        reports = [
            chain.collect(name, window, store, now=now, run_id=context["run_id"])
            for name in COLLECTORS
        ]
        for report in reports:
            _raise_for_failed_sources(report)
        return {report.collector: _collection_counts(report) for report in reports}


def replay(context: Context) -> dict[str, Any]:
    """Recompute the range's alerts from what userdb holds, and tell receivers if what is true now
    changed by it.

    Raises:
        AirflowFailException: a policy is wrong. The others are recomputed.
    """
    now = datetime.now(UTC)
    params = context["params"]
    with failure_told(context), _opened(context) as store:
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
        _raise_for_policies(report.errors)
        return counts


def _replayed(context: Context, now: datetime) -> Window:
    """The range of a replay: its params alone, as nobody replays by chance."""
    params = context["params"]
    if not (params.get("window_start") and params.get("window_end")):
        raise WindowError("a replay needs window_start and window_end")
    return run_window(context, now)


def keep_partitions(context: Context) -> dict[str, Any]:
    """Make the partitions of the next days, on a server."""
    now = datetime.now(UTC)
    with failure_told(context), _opened(context) as store:
        from userdb import partitions

        return {"made": partitions.keep_partitions(store, now=now)}


def purge_raw_rows(context: Context) -> dict[str, Any]:
    """Delete raw rows older than the param ``raw_days``, and, unless it is 0, what the analysis
    reads from before ``minute_days`` ago; the param ``table_days`` has tables' own days.

    Raises:
        AirflowFailException: a policy looks back further than the days of a table. All others are
            purged all the same.
        MonitoringError: a table could not be purged now; told after all others have been.
    """
    now = datetime.now(UTC)
    params = context["params"]
    with failure_told(context), _opened(context) as store:
        from monitoring.retention import parse_days, purge_expired
        from userdb.retention import MINUTE_TABLES, RAW_TABLES

        days = dict.fromkeys(RAW_TABLES, params["raw_days"])
        days |= dict.fromkeys(MINUTE_TABLES, params["minute_days"])
        days |= parse_days(params["table_days"])
        deleted, errors = purge_expired(store, days, now=now, late=MAX_CATCHUP)
        log.info("deleted: %s", deleted)
        if errors:
            raise type(errors[0])("; ".join(map(str, errors)))
        return {"deleted": deleted}


def clean_metadata(context: Context) -> dict[str, Any]:
    """Delete what Airflow's metadata database holds from before ``metadata_days`` ago."""
    now = datetime.now(UTC)
    before = now - timedelta(days=context["params"]["metadata_days"])
    with failure_told(context):
        from monitoring.airflow_metadata import clean_in_subprocess

        clean_in_subprocess(
            before=before, dag_id=context["dag"].dag_id, run_id=str(context["run_id"])
        )
    return {"before": before.isoformat()}


def notify_again(context: Context) -> dict[str, Any]:
    """Tell receivers what is due between two runs of the chain: repeats, escalations, what an
    operator resolved; and deliver again what could not be delivered.

    A receiver that doesn't take its messages is no failure of this task: they stay in the outbox,
    every attempt is recorded, and the next run tries again.
    """
    with failure_told(context), _opened(context) as store:
        from monitoring import chain

        report: NotifyReport = chain.notify(
            store, now=datetime.now(UTC), deadline_s=UPKEEP_DELIVERS_FOR_S
        )
        run_metrics.notified(report)
        counts: dict[str, Any] = report.as_dict()
        return counts


def keep_registry(context: Context) -> dict[str, Any]:
    """Check registered instances, deregister those whose lease is over, and tell what changed.

    An instance that fails its check, or a service that its floor protects, is no failure of this
    task: events tell of them.
    """
    with failure_told(context), _opened(context) as store:
        from monitoring.registry.upkeep import keep_up

        counts = keep_up(store, now=datetime.now(UTC), checks_for_s=UPKEEP_CHECKS_FOR_S).as_dict()
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


def run_window(context: Context, now: datetime) -> Window:
    """The window that the run is for.

    Raises:
        WindowError: the params make no window, or it ends after ``now``.
    """
    run = context["dag_run"]
    return resolve_window(
        params=context["params"],
        # a run without logical date has neither key in its context
        data_interval=(context.get("data_interval_start"), context.get("data_interval_end")),
        logical_date=run.logical_date,
        run_after=run.run_after,
        now=now,
        period=PERIOD,
    )


@contextmanager
def _opened(context: Context) -> Iterator[Store]:
    """userdb, where its schema is the code's; every log line within says what it is about."""
    for secret in secrets_of(os.environ):
        mask_secret(secret)
    with _about(context):
        store = open_store()
        try:
            require_current(store)
            yield store
        finally:
            store.close()


def _about(context: Context) -> AbstractContextManager[None]:
    run = {"run_id": str(context["run_id"]), "run_type": _run_type(context)}
    try:
        return bound_window(run_window(context, datetime.now(UTC)), **run)
    except WindowError:
        # the task that needs the window fails with it; the others are about the present
        return bound(**run)


def _shard(numbers: tuple[int, int] | None) -> Shard | None:
    from monitoring.policy.groups import Shard

    return None if numbers is None else Shard(*numbers)


def _run_type(context: Context) -> str:
    run_type = context["dag_run"].run_type
    return str(getattr(run_type, "value", run_type))


def _bounds(window: Window) -> list[str]:
    return [window.start.isoformat(), window.end.isoformat()]


def _collected_window(context: Context, window: Window) -> Window:
    """``window``, extended to the earliest start that a collector of this run chose."""
    chosen = context["ti"].xcom_pull(task_ids=sorted(context["task"].upstream_task_ids), key=WINDOW)
    starts = [datetime.fromisoformat(bounds[0]) for bounds in chosen or () if bounds]
    return Window(min([window.start, *starts]), window.end)


def _collection_counts(report: CollectionReport) -> dict[str, Any]:
    return {
        WINDOW: [report.start.isoformat(), report.end.isoformat()],
        "rows": report.rows,
        "rejected": report.rejected,
        "late": report.late,
        "sources": {source.source: source.status for source in report.sources},
        "duration_s": round(report.duration_s, 3),
    }


def _raise_for_policies(errors: Mapping[str, str]) -> None:
    # not tried again: a definition doesn't get better by that, and the others' alerts would wait
    if errors:
        listed = "; ".join(f"{policy}: {why}" for policy, why in errors.items())
        raise AirflowFailException(f"{len(errors)} policies are wrong: {listed}")


def _raise_for_failed_sources(report: CollectionReport) -> None:
    # unavailable is no failure: a runtime can't tell about the past, and trying again can't help
    failed = [source for source in report.sources if source.status == "failed"]
    if failed:
        listed = "; ".join(f"{source.source}: {source.message}" for source in failed)
        raise CollectionError(
            f"{len(failed)} of {len(report.sources)} sources of {report.collector} failed: {listed}"
        )
