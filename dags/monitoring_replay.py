"""Recompute history: collect a range again, day by day, then replay its analysis as one.

Thin on purpose: every task is one call into ``monitoring.dag_tasks.replay``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, TriggerRule, task
from monitoring import dag_layout

DOCS = """
### Replay: recompute a range of the alert history

Trigger it by hand, with the range. **collect** reads what the sources still hold, one mapped task
a day; leave it out with `collect: false`, then userdb's own facts are all there is. **analyse**
scores every policy over the whole range at once and brings the alert history in line: a month
takes seconds. Episodes that were otherwise are superseded, not deleted.

Receivers are told only if what is true *now* changed by it, and `notify` is `auto`.

`definitions: today` scores by today's policies instead of those that were in force; later runs
keep to that for these times.
"""


def tell_watchdog(context: dict[str, Any]) -> None:
    from monitoring import run_failures

    run_failures.tell_watchdog(context)


with DAG(
    dag_id="monitoring_replay",
    description="Collect a range again, day by day, and recompute its alerts",
    doc_md=DOCS,
    schedule=None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    tags=["monitoring"],
    on_failure_callback=tell_watchdog,
    default_args={
        "owner": "monitoring",
        "retries": 2,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(seconds=15),
        "execution_timeout": timedelta(hours=2),
    },
    params={
        "window_start": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="From (UTC)",
            description="First minute of the range. Needed, with its end.",
        ),
        "window_end": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="To (UTC)",
            description="End of the range, exclusive; not after now.",
        ),
        "policies": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Policies",
            description="Names of the policies to recompute; empty: all.",
        ),
        "definitions": Param(
            "then",
            type="string",
            enum=["then", "today"],
            title="Definitions",
            description="then: those that were in force; today: today's, which later runs keep to.",
        ),
        "collect": Param(
            True,
            type="boolean",
            title="Collect again",
            description="Whether sources are read again, before the analysis.",
        ),
        "notify": Param(
            "auto",
            type="string",
            enum=["auto", "no"],
            title="Notify receivers",
            description="auto: if what is true now changed; no: tell nobody.",
        ),
    },
) as dag:

    @task(
        doc_md="The days of the range, as windows; none where it is not to be collected.",
        **dag_layout.placement("analysis"),
    )
    def days(**context: Any) -> list[list[str]]:
        from monitoring.dag_tasks import replay

        return replay.days(context)

    @task(
        doc_md="Collect one day with every collector, and write the ledger.",
        map_index_template="{{ task.op_kwargs['window'][0][:10] }}",
        max_active_tis_per_dagrun=2,
        **dag_layout.placement("collect"),
    )
    def collect(window: list[str], **context: Any) -> dict[str, Any]:
        from monitoring.dag_tasks import replay

        return replay.collect_day(window, context)

    # a day that can't be collected is no reason to leave the others as they were
    @task(
        trigger_rule=TriggerRule.ALL_DONE,
        doc_md="Score every policy over the whole range, update alerts, notify of what changed.",
        **dag_layout.placement("analysis"),
    )
    def analyse(**context: Any) -> dict[str, Any]:
        from monitoring.dag_tasks import replay

        return replay.replay(context)

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

    the_days = days()
    collected = collect.expand(window=the_days)
    analysed = analyse()
    collected >> analysed
    [the_days, collected, analysed] >> watcher()
