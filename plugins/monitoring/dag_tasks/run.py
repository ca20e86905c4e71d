"""What every task asks of its run: the window, its type, and userdb opened for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta

from airflow.sdk.log import mask_secret

from monitoring.log_context import bound, bound_window
from monitoring.log_format import secrets_of
from monitoring.run_failures import Context
from monitoring.window import Window, resolve_window
from userdb.errors import WindowError
from userdb.migrate import opened_current
from userdb.store import Store

#: The schedule's period: a run without interval and params is for the last complete one.
PERIOD = timedelta(minutes=5)
#: How far back a scheduled run makes up for downtime.
MAX_CATCHUP = timedelta(hours=24)


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


def run_type(context: Context) -> str:
    """scheduled, manual, backfill …"""
    found = context["dag_run"].run_type
    return str(getattr(found, "value", found))


@contextmanager
def opened(context: Context) -> Iterator[Store]:
    """userdb, where its schema is the code's; every log line within says what it is about."""
    for secret in secrets_of(os.environ):
        mask_secret(secret)
    with _about(context), opened_current() as store:
        yield store


def _about(context: Context) -> AbstractContextManager[None]:
    run = {"run_id": str(context["run_id"]), "run_type": run_type(context)}
    try:
        return bound_window(run_window(context, datetime.now(UTC)), **run)
    except WindowError:
        # the task that needs the window fails with it; the others are about the present
        return bound(**run)
