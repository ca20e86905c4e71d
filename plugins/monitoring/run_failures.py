"""Why a DAG run failed: left by each task that fails, told by the watcher and to the watchdog."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from userdb.errors import ConfigError, MonitoringError, SchemaError, WindowError

log = logging.getLogger(__name__)

Context = Mapping[str, Any]
T = TypeVar("T")

#: XCom keys: why a task failed; the window that it was for.
FAILURE = "failure"
WINDOW = "window"

_REASON_LENGTH = 400
#: Trying again can't help.
_PERMANENT = (ConfigError, SchemaError, WindowError)


class ChainFailed(MonitoringError):
    """Tasks of a run failed; the text says which ones, and why."""


def watch(context: Context) -> None:
    """Fail, saying which tasks of the run failed and why.

    Raises:
        ChainFailed: always.
    """
    reasons = failures(context)
    listed = "; ".join(f"{task}: {why}" for task, why in reasons.items()) or "see their logs"
    raise ChainFailed(f"{len(reasons)} of the run's tasks failed: {listed}")


def tell_watchdog(context: Context) -> None:
    """Tell the watchdog that a DAG run failed: the DAGs' on_failure_callback; never raises."""
    now = datetime.now(UTC)
    try:
        from monitoring.notify import watchdog

        dag_id = context["dag"].dag_id
        watchdog.tell(
            what=dag_id,
            run_id=str(context["run_id"]),
            window=_if_known(_window_of, context),
            reasons=_if_known(failures, context)
            or {dag_id: str(context.get("reason") or "unknown")},
            now=now,
        )
    except Exception:
        # a callback's error would only hide the failure that it is to tell
        log.exception("the watchdog could not be told that run %s failed", context.get("run_id"))


def beat(context: Context, *, failed: bool = False) -> None:
    """Tell the heartbeat's service that a run was complete, or that it failed; never raises.

    A backfill tells nothing: that the past was collected doesn't mean that the present is.
    """
    try:
        from monitoring.notify import heartbeat

        run_type = context["dag_run"].run_type
        if getattr(run_type, "value", run_type) != "backfill":
            heartbeat.beat("fail" if failed else "success", f"run {context['run_id']}")
    except Exception:
        log.exception("the heartbeat could not be told of run %s", context.get("run_id"))


def tell_watchdog_once(context: Context, *, failed: bool) -> None:
    """Tell the watchdog that runs of a DAG fail when that begins, and when it is over.

    For both callbacks of a DAG that runs so often that each failure told would be a flood; never
    raises.
    """
    now = datetime.now(UTC)
    try:
        from monitoring.watch import RUN_OF, tell_news
        from monitoring.watch_memory import Memory, memory_path

        subject = f"{RUN_OF}{context['dag'].dag_id}"
        problems = {}
        if failed:
            reasons = _if_known(failures, context) or {"run": str(context.get("reason"))}
            problems[subject] = "; ".join(f"{task}: {why}" for task, why in reasons.items())
        tell_news(Memory(memory_path()), problems, lambda one: one == subject, now=now)
    except Exception:
        log.exception("the watchdog could not be told of run %s", context.get("run_id"))


def failures(context: Context) -> dict[str, str]:
    """Task id → why, for each task of the run that failed itself, the watcher aside."""
    task_instance = context.get("ti")
    if task_instance is None:
        return {}
    run_id = context["run_id"]
    states = task_instance.get_task_states(dag_id=context["dag"].dag_id, run_ids=[run_id])
    reasons = {}
    for task_id, state in sorted(states.get(run_id, {}).items()):
        if state == "failed" and task_id != "watcher":
            reasons[task_id] = (
                _left_reason(context, task_id)
                or "it left no reason: killed, or lost with its worker; see its log"
            )
    return reasons


def _left_reason(context: Context, task_id: str) -> Any:
    """What the task left in XCom; of a mapped one, whose state is told as ``name_3``, too."""
    pull = context["ti"].xcom_pull
    name, _, index = task_id.rpartition("_")
    if task_id not in context["dag"].task_ids and name in context["dag"].task_ids:
        return pull(task_ids=name, key=FAILURE, map_indexes=int(index))
    return pull(task_ids=task_id, key=FAILURE)


def _if_known(ask: Callable[[Context], T], context: Context) -> T | None:
    # only a process that Airflow supervises can ask for states and XComs
    try:
        return ask(context)
    except Exception as error:
        log.warning("run %s: %s is not known: %s", context.get("run_id"), ask.__name__, error)
        return None


def _window_of(context: Context) -> str | None:
    task_instance = context.get("ti")
    if task_instance is None:
        return None
    for task_id in context["dag"].task_ids:
        # in a list: of a mapped task one for each of its instances
        found = task_instance.xcom_pull(task_ids=[task_id], key=WINDOW)
        if found and (bounds := found[0]):
            return f"{bounds[0]} to {bounds[1]}"
    return None


def reason(error: BaseException) -> str:
    """One line that says why, short enough for a message."""
    text = " ".join(str(error).split())
    if not isinstance(error, (MonitoringError, AirflowFailException)):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return _cut(text, _REASON_LENGTH)


def merged(errors: Sequence[MonitoringError]) -> MonitoringError:
    """One error that says what all of them say, once each, and short enough for a message.

    Where another try may mend any of them, it is of that one's type.
    """
    kind = type(min(errors, key=lambda error: isinstance(error, _PERMANENT)))
    texts = dict.fromkeys(reason(error) for error in errors)
    share = _REASON_LENGTH // len(texts) - len("; ")
    return kind("; ".join(_cut(text, share) for text in texts))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


@contextmanager
def failure_told(context: Context, *, retried_within_s: float | None = None) -> Iterator[None]:
    """Leave the reason in XCom where the body fails, and don't try again what can't get better.

    Args:
        retried_within_s: a try that took longer is the last one.

    Raises:
        AirflowFailException: instead of the body's error, where another try is pointless.
    """
    started = time.perf_counter()
    try:
        yield
    except (Exception, AirflowTaskTimeout) as error:
        why = reason(error)
        context["ti"].xcom_push(key=FAILURE, value=why)
        if isinstance(error, _PERMANENT):
            raise AirflowFailException(why) from error
        took = time.perf_counter() - started
        if retried_within_s is not None and took > retried_within_s:
            raise AirflowFailException(
                f"{why} (not tried again in this run, because this try took {took:.0f} s)"
            ) from error
        raise
