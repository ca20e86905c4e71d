"""What log lines are about: the run, the window, the collector or the policy.

What is bound here is in every line that is written meanwhile, by whatever module: as fields where
lines are JSON (``monitoring.log_format``, or Airflow's task logs). Airflow binds dag_id, task_id
and run_id itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from structlog.contextvars import bound_contextvars, get_contextvars

from monitoring.window import Window

P = ParamSpec("P")
T = TypeVar("T")


def bound(**fields: Any) -> AbstractContextManager[None]:
    """Every line within has ``fields``, besides those that are bound already. Values are texts and
    numbers, and no secrets."""
    return bound_contextvars(**fields)


def bound_window(window: Window, **fields: Any) -> AbstractContextManager[None]:
    """Every line within says which window it is about, in RFC 3339, UTC."""
    return bound(window_start=window.start.isoformat(), window_end=window.end.isoformat(), **fields)


def bound_run() -> str | None:
    """The id of the run that lines are about, where that is bound."""
    found = get_contextvars().get("run_id")
    return None if found is None else str(found)


def in_this_context(call: Callable[P, T]) -> Callable[P, T]:
    """``call``, for another thread: its lines have what is bound here and now.

    The result may be called once at a time.
    """
    return partial(copy_context().run, call)
