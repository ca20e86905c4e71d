"""Urgent events run the chain at once: as soon as their minute is over, without its schedule.

One thread of the process does it, so that no sender waits. At most one urgent run is in flight,
whatever the number of processes that take events in: runs are numbered, the next one is triggered
only where the newest is seen to have ended, and Airflow takes each number once.

A run's window ends with the events' minute and begins where the last collection ended, as a
policy knows nothing of minutes that were not collected.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import exists, false, select

from monitoring import chain
from monitoring.intake.airflow_runs import (
    URL_SETTING,
    AirflowError,
    ChainRuns,
    RestRuns,
    Run,
)
from monitoring.log_context import bound_window
from monitoring.policy.definition import Policy
from monitoring.policy.loader import load_policies
from monitoring.policy.signal_policy import SeriesPolicy, matches
from monitoring.signals import COLLECTORS
from monitoring.window import MINUTE, Window
from userdb.events import EventRecord
from userdb.models import MonitorEvent
from userdb.store import Store
from userdb.times import from_minute, to_minute

log = logging.getLogger(__name__)

#: Ids of urgent runs begin with it; their number follows.
PREFIX = "urgent__"
#: How far before the events' minute a window may begin: what the schedule leaves uncollected.
MAX_REACH = timedelta(minutes=15)
#: A minute that could not be run for so long is left to the schedule.
_GIVE_UP_S = 900.0
_POLICIES_FOR_S = 30.0
_WAITING = 1000


class _Noticed(NamedTuple):
    store: Store
    events: Sequence[EventRecord]


def is_urgent(event: EventRecord, policies: Iterable[Policy]) -> bool:
    """Whether ``event`` is critical, or one that an urgent policy counts."""
    return event.level == "critical" or any(
        isinstance(policy, SeriesPolicy)
        and policy.urgent
        and all(
            matches(patterns, getattr(event, name) or "") for name, patterns in policy.where.items()
        )
        for policy in policies
    )


def next_window(minutes: Iterable[int], store: Store) -> tuple[Window, set[int]]:
    """The window of the next run, and those of ``minutes`` that it is for.

    These are the earliest one and those that follow it without a gap.
    """
    first = last = min(minutes)
    found = set(minutes)
    while last + 1 in found:
        last += 1
    window = Window.of_minutes(first, last + 1)
    reached = [chain.catch_up(window, store, name, max_catchup=MAX_REACH) for name in COLLECTORS]
    start = min(one.start for one in reached)
    return Window(start, window.end), set(range(first, last + 1))


def describe(runs: RestRuns | None) -> str:
    """A line that says what becomes of urgent events."""
    if runs is None:
        return f"urgent events wait for the chain's schedule: set {URL_SETTING} to run it at once"
    return f"urgent events run the chain at once, in the Airflow at {runs.url}"


def _following(newest: Run | None) -> str:
    """The id of the next run after the ``newest``."""
    number = "0" if newest is None else newest.run_id.removeprefix(PREFIX)
    if not number.isdecimal():
        raise AirflowError(f"the run {PREFIX}{number} has an id like an urgent one's: delete it")
    return f"{PREFIX}{int(number) + 1:08d}"


class UrgentRuns:
    """Runs the chain for the urgent ones of the events that it is told of.

    Args:
        runs: gives where runs are triggered, or None where that is not configured; asked once.
        clock: gives now, aware.
        poll_s: how often the run in flight is looked at.
    """

    def __init__(
        self,
        runs: Callable[[], ChainRuns | None],
        *,
        clock: Callable[[], datetime],
        poll_s: float = 3.0,
    ) -> None:
        self._make_runs = runs
        self._clock = clock
        self._poll_s = poll_s
        self._noticed: queue.Queue[_Noticed] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        #: minute → when it was noticed, by time.monotonic
        self._pending: dict[int, float] = {}
        self._policies: tuple[float, tuple[Policy, ...]] = (float("-inf"), ())

    def notice(self, store: Store, events: Sequence[EventRecord]) -> None:
        """Tell of events that were stored. Never waits, and never raises."""
        if not events:
            return
        try:
            self._noticed.put_nowait(_Noticed(store, events))
        except queue.Full:
            log.warning("urgent events are left to the schedule: %d requests wait", _WAITING)
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="urgent", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        said = ""
        try:
            runs = self._make_runs()
        except Exception as error:
            said = f"urgent events wait for the chain's schedule: {error}"
            log.error(said)
            runs = None
        while True:
            # nothing to do: wait for as long as it takes
            noticed = self._take(self._poll_s if self._pending else None)
            if noticed is not None:
                self._sort(noticed)
                store = noticed.store
            if not self._pending:
                continue
            if runs is None:
                if not said:
                    said = describe(None)
                    log.warning(said)
                self._pending.clear()
                continue
            try:
                self._run(runs, store)
                said = ""
            except Exception as error:
                # the schedule comes anyway: an Airflow that is away must not end this thread
                if str(error) != said:
                    log.warning("an urgent run could not be triggered: %s", error)
                    said = str(error)
                self._forget_old()

    def _take(self, timeout: float | None) -> _Noticed | None:
        try:
            return self._noticed.get(timeout=timeout)
        except queue.Empty:
            return None

    def _sort(self, noticed: _Noticed) -> None:
        policies = self._current_policies()
        for event in noticed.events:
            if is_urgent(event, policies):
                self._pending.setdefault(to_minute(event.occurred_at), time.monotonic())

    def _current_policies(self) -> tuple[Policy, ...]:
        until, policies = self._policies
        if time.monotonic() >= until:
            try:
                policies = load_policies().policies
            except Exception as error:
                log.warning("urgent policies can't be read: %s", error)
            self._policies = (time.monotonic() + _POLICIES_FOR_S, policies)
        return policies

    def _run(self, runs: ChainRuns, store: Store) -> None:
        newest = runs.newest(PREFIX)
        if newest is not None and newest.active:
            return
        self._drop_collected(store)
        if not self._pending:
            return
        window, minutes = next_window(self._pending, store)
        run_id = _following(newest)
        conf = {"window_start": window.start.isoformat(), "window_end": window.end.isoformat()}
        # false: another process was faster, and its run is seen next time
        if runs.trigger(run_id, conf, max(window.end, self._clock())):
            with bound_window(window, run_id=run_id):
                log.info("triggered %s for %s", run_id, window)
            for minute in minutes:
                self._pending.pop(minute, None)

    def _drop_collected(self, store: Store) -> None:
        """Forget the minutes whose events a run has counted since: it analyses them too."""
        table = MonitorEvent
        with store.read() as connection:
            for minute in list(self._pending):
                waiting = exists().where(
                    table.rolled_up == false(),
                    table.occurred_at >= from_minute(minute),
                    table.occurred_at < from_minute(minute) + MINUTE,
                )
                if not connection.scalar(select(waiting)):
                    del self._pending[minute]

    def _forget_old(self) -> None:
        oldest = time.monotonic() - _GIVE_UP_S
        self._pending = {one: at for one, at in self._pending.items() if at > oldest}
