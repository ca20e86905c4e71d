"""What was collected and not evaluated: a run that failed halfway leaves it to the next one."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select

from monitoring.window import MINUTE, Window
from userdb.models import Evaluation
from userdb.store import Store


def catch_up_evaluation(window: Window, store: Store, *, max_catchup: timedelta) -> Window:
    """``window``, begun earlier where a policy was not evaluated right up to it.

    A policy that was not evaluated at all within ``max_catchup`` has nothing to join up with.
    """
    floor = window.first_minute - max_catchup // MINUTE
    with store.read() as connection:
        evaluated = connection.scalars(
            select(func.max(Evaluation.last_minute))
            .where(
                Evaluation.last_minute >= floor,
                Evaluation.first_minute < window.first_minute,
            )
            .group_by(Evaluation.policy)
        ).all()
    first = min([window.first_minute, *evaluated])
    return window.extended((window.first_minute - first) * MINUTE)
