"""The incident, on its own thread: it happens in real time, whatever Airflow does meanwhile."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from demo.incident import END_EARLY, Course, floor, may_begin
from demo.progress import Progress
from demo.stage import Stage
from demo.traffic import HEALTHY, INCIDENT, Tally, Traffic
from demo.upstream import FAULTS

#: The traffic ends this long before the last window, so that all of it lies in windows.
_STOP_EARLY = timedelta(seconds=1)


class Timeline(threading.Thread):
    """Healthy traffic, the incident, recovery.

    Attributes:
        airflow_up: set by whoever starts Airflow; the incident waits a while for it.
        course: known once the incident has begun.
        error: what went wrong, if something did.
    """

    def __init__(self, stage: Stage, traffic: Traffic, traffic_from: datetime) -> None:
        super().__init__(name="timeline", daemon=True)
        self.airflow_up = threading.Event()
        self.course: Course | None = None
        self.tally: Tally | None = None
        self.error: Exception | None = None
        self._stage = stage
        self._traffic = traffic
        self._traffic_from = traffic_from
        self._cancelled = threading.Event()

    @property
    def phase(self) -> str:
        """healthy, incident or recovery."""
        return self.course.phase(datetime.now(UTC)) if self.course else "healthy"

    def cancel(self) -> None:
        """End the thread, wherever it is."""
        self._cancelled.set()
        self.join()

    def run(self) -> None:
        try:
            self._play()
        except Exception as error:  # told by the main thread, which would wait for ever
            self.error = error

    def _play(self) -> None:
        say, fragile = self._stage.progress.say, self._stage.containers
        while not may_begin(
            now := datetime.now(UTC), self._traffic_from, airflow_up=self.airflow_up.is_set()
        ):
            if self._cancelled.wait(0.1):
                return
        self.course = course = Course(self._traffic_from, floor(now))
        self._break()
        broken = "simulations fail, their results hang, clients give up, somebody guesses passwords"
        say("incident", broken + (f", {fragile.fragile} crashes" if fragile else ""), "bold red")
        if not self._until(course.end - END_EARLY):
            return
        self._mend()
        say("recovery", "everything works again", "bold green")
        if self._until(course.recovered - _STOP_EARLY):
            self.tally = self._traffic.stop()

    def _break(self) -> None:
        if self._stage.containers:
            self._stage.containers.crash(True)
        self._stage.platform.set_faults(FAULTS)
        self._traffic.follow(INCIDENT)

    def _mend(self) -> None:
        self._traffic.follow(HEALTHY)
        self._stage.platform.set_faults([])
        if self._stage.containers:
            self._stage.containers.crash(False)

    def _until(self, at: datetime) -> bool:
        """Wait; False where the demo is being ended."""
        while (left := (at - datetime.now(UTC)).total_seconds()) > 0:
            if self._cancelled.wait(min(left, 1.0)):
                return False
        return True


def describe(progress: Progress, traffic: Traffic, what: str) -> None:
    """Show on the live line what is waited for, and the traffic so far."""
    tally = traffic.tally()
    kinds = tally.by_outcome()
    progress.update(
        f"{what}   [dim]{tally.requests:,} requests, {kinds['timeout']} timeouts, "
        f"{kinds['server_error']} 5xx, {kinds['auth_failure']} refused[/]"
    )
