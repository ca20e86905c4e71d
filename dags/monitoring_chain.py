"""The monitoring chain: collect → score policies → update alerts → notify.

Thin on purpose: the schedule, the params and the order of tasks. Every task is one call into
``monitoring.dag_tasks.chain``, imported when the task runs, so that parsing this file stays cheap.
What tasks are mapped over, and where they are placed, is in ``monitoring.dag_layout``.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    CronDataIntervalTimetable,
    Param,
    TaskGroup,
    TriggerRule,
    task,
)
from monitoring import dag_layout

DOCS = """
### From a gateway's logs, exceptions and containers to alerts and notifications

Each run handles one **window** of event time, `[start, end)` in UTC:

1. **collect** – three collectors, side by side, write what happened in the window into userdb.
   One that fails leaves its window *unknown*: the others go on, and the run ends as failed. Where
   the settings name nodes to pull, a fourth one, `pull`, reads what these hold. A collector with
   several log sources, container hosts or nodes is mapped over them: one that is slow or fails
   holds up none of the others.
2. **analysis.score_policies** – every policy is evaluated at every minute of the window.
3. **analysis.update_alerts** – alerts open and resolve, in event time.
4. **analysis.notify** – receivers are told what is true now and was not told before.
5. **watcher** – runs only where a task failed; its error says which one and why.

**Which window?** `window_start` and `window_end` if given, else the run's data interval, else the
last complete five minutes before the run's date. A scheduled run after downtime also collects the
gap that ends at its window, up to 24 hours; older gaps are shown by `monitoring status`.

**Is it running?** After each complete run, backfills aside, `MONITORING_HEARTBEAT_URL` is pinged; a
failed one is told to `MONITORING_WATCHDOG_URL`.

**Past windows.** Backfill any range: runs may finish in any order, the alert history comes out the
same as if each had run once, in order. A backfill notifies nobody unless `notify` is `yes`.
"""

#: Never changes: it only has to lie before every window that is run by hand or as a backfill.
START = datetime(2020, 1, 1, tzinfo=UTC)


def _table(name: str) -> Asset:
    return Asset(name=f"userdb.{name}", uri=f"x-userdb://userdb/{name}")


#: Collector → the tables that it writes.
COLLECTORS = {
    "gateway_exceptions": [_table("monitor_event"), _table("event_minute")],
    "request_logs": [_table("request_log"), _table("request_minute")],
    "container_stats": [_table("container_sample")],
}


if dag_layout.sources("pull"):
    COLLECTORS["pull"] = [
        _table(name)
        for name in ("monitor_event", "event_minute", "request_minute", "container_sample")
    ]


def tell_watchdog(context: dict[str, Any]) -> None:
    from monitoring import run_failures

    run_failures.tell_watchdog(context)
    run_failures.beat(context, failed=True)


def beat(context: dict[str, Any]) -> None:
    from monitoring import run_failures

    run_failures.beat(context)


def collector_task(name: str) -> Any:
    """A task; where the collector has several sources, mapped over them."""
    shares = dag_layout.shares(name)

    @task(
        task_id=name,
        doc_md=f"Collect the window with the collector `{name}`, and write the ledger.",
        outlets=COLLECTORS[name],
        map_index_template="{{ task.op_kwargs['sources'] | join(', ') }}" if shares else None,
        **dag_layout.placement("collect"),
    )
    def collect(sources: list[str] | None = None, **context: Any) -> dict[str, Any]:
        from monitoring.dag_tasks import chain

        return chain.collect(name, context, sources)

    return collect.expand(sources=shares) if shares else collect()


#: In how many parts the policies are analysed. Many policies are shared out, few are not: a task
#: more would take longer than what it saves.
SHARDS = dag_layout.shards()


def analysis_task(function: Any, **options: Any) -> Any:
    """A task that is handed ``shard``; mapped over the parts of the policies, where there are
    several."""
    if SHARDS == 1:
        return task(**options)(function)()
    label = "policies {{ task.op_kwargs['shard'][0] + 1 }} of {{ task.op_kwargs['shard'][1] }}"
    mapped = task(map_index_template=label, **options)(function)
    return mapped.expand(shard=[[number, SHARDS] for number in range(SHARDS)])


with DAG(
    dag_id="monitoring_chain",
    description="Collect exceptions, requests and container state; score policies; alert; notify",
    doc_md=DOCS,
    # the demo and tests trigger windows of their own: a scheduled run would be in their way
    schedule=None
    if os.environ.get("MONITORING_SCHEDULE") == "none"
    else CronDataIntervalTimetable("*/5 * * * *", timezone="UTC"),
    start_date=START,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    tags=["monitoring"],
    on_failure_callback=tell_watchdog,
    on_success_callback=beat,
    # The waits between tries add up to less than half a minute, and dag_tasks.chain doesn't retry a
    # collector's try that was slow itself: its retries begin within two minutes.
    default_args={
        "owner": "monitoring",
        "retries": 2,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(seconds=15),
        "execution_timeout": timedelta(minutes=15),
    },
    params={
        "window_start": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Window start (UTC)",
            description="First minute to collect and analyse; empty: the run's own interval. "
            "Needs the window's end too.",
        ),
        "window_end": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Window end (UTC)",
            description="End of the window, exclusive; not after now.",
        ),
        "notify": Param(
            "auto",
            type="string",
            enum=["auto", "yes", "no"],
            values_display={
                "auto": "auto: yes, except for backfills",
                "yes": "yes",
                "no": "no: this run tells nobody",
            },
            title="Notify receivers",
            description="Whether this run tells receivers what changed.",
        ),
    },
) as dag:
    with TaskGroup("collect", tooltip="What happened in the window, into userdb"):
        collected = [collector_task(name) for name in COLLECTORS]

    with TaskGroup("analysis", tooltip="Policies, alerts, notifications"):

        def score_policies(shard: list[int] | None = None, **context: Any) -> dict[str, Any]:
            from monitoring.dag_tasks import chain

            return chain.score_policies(context, shard)

        # A failed collector's window is unknown, which scoring knows how to treat.
        scored = analysis_task(
            score_policies,
            trigger_rule=TriggerRule.ALL_DONE,
            doc_md="Evaluate every policy over the window.",
            outlets=[_table("evaluation"), _table("policy_score")],
            **dag_layout.placement("analysis"),
        )

        def update_alerts(shard: list[int] | None = None, **context: Any) -> dict[str, Any]:
            from monitoring.dag_tasks import chain

            return chain.update_alerts(context, shard)

        # One wrong policy fails the task before, and must not silence the others.
        updated = analysis_task(
            update_alerts,
            trigger_rule=TriggerRule.ALL_DONE,
            doc_md="Open and resolve alerts from the scores, in event time.",
            outlets=[_table("alert"), _table("alert_transition")],
            **dag_layout.placement("analysis"),
        )

        # Level-triggered: what one run could not send, the next one does.
        @task(
            trigger_rule=TriggerRule.ALL_DONE,
            doc_md="Tell receivers what is true now and what they were not told yet.",
            outlets=[_table("delivery"), _table("delivery_attempt")],
            **dag_layout.placement("analysis"),
        )
        def notify(**context: Any) -> dict[str, Any]:
            from monitoring.dag_tasks import chain

            return chain.notify(context)

        notified = notify()
        scored >> updated >> notified

    # Without it the run would succeed with its last task, whatever a collector did.
    @task(
        trigger_rule=TriggerRule.ONE_FAILED,
        retries=0,
        execution_timeout=timedelta(minutes=1),
        doc_md="Fails the run if any task failed, and says which one and why.",
        **dag_layout.placement("analysis"),
    )
    def watcher(**context: Any) -> None:
        from monitoring import run_failures

        run_failures.watch(context)

    collected >> scored
    [*collected, scored, updated, notified] >> watcher()
