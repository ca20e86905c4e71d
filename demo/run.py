"""`make demo`: an incident on a real platform, seen by the chain, within five minutes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from monitoring.alerts.search import list_alerts
from rich.markup import escape

from demo.chain_runs import run_window, wait_for_dag
from demo.incident import Course, Slice, expected_alerts
from demo.observed import events_stored, minutes, problems, requests_by_route
from demo.progress import Progress
from demo.report import Outcome, Run, checks, show
from demo.stage import Stage, shown, tell_message
from demo.supervisor import AirflowServer
from demo.timeline import Timeline, describe
from demo.traffic import Traffic

RATE = 12.0
#: After a window's end, before the chain is run for it: until its last request is in the log.
_GRACE_S = 1.0
_TICK_S = 0.2


def run_demo(progress: Progress, folder: Path, *, use_nginx: bool = True) -> bool:
    """Run the demo; whether everything came as the incident should have given it."""
    progress.console.print(
        "[bold]A real platform, an incident on it, and the chain that sees it.[/]\n"
        "[dim]It ends by itself within five minutes; Ctrl-C ends it now.[/]\n"
    )
    with Stage(progress, folder, use_nginx=use_nginx, refusals=1) as stage:
        traffic_from = datetime.now(UTC)
        traffic = stage.start_traffic(RATE)
        timeline = Timeline(stage, traffic, traffic_from)
        timeline.start()
        try:
            outcome = _Watch(progress, stage, timeline, traffic).watch()
        finally:
            timeline.cancel()
        verdict = checks(outcome)
        show(progress.console, outcome, verdict)
    right = all(check.ok for check in verdict)
    seconds = f"{progress.elapsed:.0f} s"
    where = shown(stage.scratch.folder)
    progress.console.print(
        f"[bold green]Everything is as it should be[/] after {seconds}. userdb and logs: {where}"
        if right
        else f"[bold red]Not everything is as it should be[/] after {seconds}. Look at {where}"
    )
    return right


class _Watch:
    """Airflow, the runs of the chain, and what the receiver gets meanwhile."""

    def __init__(
        self, progress: Progress, stage: Stage, timeline: Timeline, traffic: Traffic
    ) -> None:
        self.progress = progress
        self.stage = stage
        self.timeline = timeline
        self.traffic = traffic
        self._told = 0

    def watch(self) -> Outcome:
        """Run the chain for every window, as its time comes; what came of it all."""
        airflow = self.stage.start_airflow()
        self.timeline.airflow_up.set()
        with self.progress.waiting("Airflow reads the DAGs"):
            wait_for_dag(airflow, partial(self._tick, "Airflow reads the DAGs"))
        with self.progress.waiting("healthy traffic"):
            while (course := self.timeline.course) is None:
                self._tick("healthy traffic")
                time.sleep(_TICK_S)
        runs = [self._run(airflow, window) for window in course.windows()]
        self.timeline.join()
        self._tick("")
        return self._outcome(course, runs)

    def _run(self, airflow: AirflowServer, window: Slice) -> Run:
        with self.progress.waiting(""):
            while (left := _seconds_to(window)) > 0:
                self._tick(f"{self.timeline.phase}: the chain runs for {window} in {left:.0f} s")
                time.sleep(_TICK_S)
            run = run_window(
                airflow,
                window,
                lambda tasks: self._tick(f"chain for {window}: {tasks or 'next task'}"),
            )
        style = "green" if run.state == "success" else "red"
        self.progress.say(
            "chain",
            f"{window} {window.phase}: [{style}]{run.state}[/] in {run.seconds:.1f} s, "
            f"{self._summary(window)}",
        )
        for failure in run.failures:
            self.progress.say("", escape(failure))
        self._tick("")
        return run

    def _summary(self, window: Slice) -> str:
        with self.stage.store.read() as connection:
            rows = minutes(connection, window.start, window.end)
            firing = len(list_alerts(connection, state="firing"))
        requests, events = sum(row.requests for row in rows), sum(row.events for row in rows)
        return f"{requests:,} requests, {events} exceptions, {firing} alerts firing"

    def _tick(self, what: str) -> None:
        if self.timeline.error is not None:
            raise self.timeline.error
        for message in self.stage.receiver.messages()[self._told :]:
            tell_message(self.progress, message)
            self._told += 1
        describe(self.progress, self.traffic, what)

    def _outcome(self, course: Course, runs: list[Run]) -> Outcome:
        stage = self.stage
        fragile = stage.containers.fragile if stage.containers else None
        with stage.store.read() as connection:
            return Outcome(
                course=course,
                runs=runs,
                minutes=minutes(connection, course.windows()[0].start, course.recovered),
                tally=self.traffic.tally(),
                collected=requests_by_route(connection),
                reported=stage.platform.reported(),
                events=events_stored(connection),
                fragile=fragile,
                problems=problems(connection),
                alerts=list_alerts(connection),
                expected=expected_alerts(course, fragile),
                messages=stage.receiver.messages(),
            )


def _seconds_to(window: Slice) -> float:
    return (window.end - datetime.now(UTC)).total_seconds() + _GRACE_S
