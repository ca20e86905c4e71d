"""What goes wrong in the demo, when, and which alerts that should give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

MINUTE = timedelta(minutes=1)
INCIDENT_MINUTES = 2
RECOVERY_MINUTES = 1

#: Healthy traffic before the incident, so that the first window has something to show.
HEALTHY_BEFORE = timedelta(seconds=15)
#: How far into a minute the incident may still begin: most of its first minute must be bad.
LATEST_BEGIN = timedelta(seconds=20)
#: For so long the incident waits for Airflow; windows are run later where it takes longer.
AIRFLOW_PATIENCE = timedelta(seconds=40)
#: Requests that wait for a service when the incident ends are logged by the end of its minute.
END_EARLY = timedelta(seconds=4)


def floor(at: datetime) -> datetime:
    """The minute that ``at`` lies in."""
    return at.replace(second=0, microsecond=0)


@dataclass(frozen=True)
class Course:
    """The demo's times. ``begin`` is the first incident minute's start."""

    traffic_from: datetime
    begin: datetime

    @property
    def end(self) -> datetime:
        """The end of the last incident minute; the incident itself ends ``END_EARLY`` before."""
        return self.begin + INCIDENT_MINUTES * MINUTE

    @property
    def recovered(self) -> datetime:
        """The end of the last recovery minute."""
        return self.end + RECOVERY_MINUTES * MINUTE

    def windows(self) -> list[Slice]:
        """What the chain is run for: all healthy minutes at once, then minute by minute."""
        slices = [Slice("healthy", floor(self.traffic_from), self.begin)]
        for index in range(INCIDENT_MINUTES + RECOVERY_MINUTES):
            start = self.begin + index * MINUTE
            name = "incident" if index < INCIDENT_MINUTES else "recovery"
            slices.append(Slice(name, start, start + MINUTE))
        return slices

    def phase(self, minute: datetime) -> str:
        """healthy, incident or recovery."""
        if minute < self.begin:
            return "healthy"
        return "incident" if minute < self.end else "recovery"


@dataclass(frozen=True)
class Slice:
    """A window [start, end) of one phase."""

    phase: str
    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.start:%H:%M}–{self.end:%H:%M}"


def may_begin(at: datetime, traffic_from: datetime, *, airflow_up: bool) -> bool:
    """Whether the incident may begin at ``at``."""
    return (
        at - floor(at) <= LATEST_BEGIN
        and floor(at) - traffic_from >= HEALTHY_BEFORE
        and (airflow_up or at - traffic_from >= AIRFLOW_PATIENCE)
    )


@dataclass(frozen=True)
class ExpectedAlert:
    """An alert that the incident should give: it fires at one of ``fires_at``, then resolves."""

    policy: str
    labels: Mapping[str, str]
    fires_at: frozenset[datetime]
    resolves_at: datetime

    def matches(self, policy: str, labels: Mapping[str, str]) -> bool:
        return policy == self.policy and self.labels.items() <= labels.items()

    @property
    def subject(self) -> str:
        return subject(self.labels)


def subject(labels: Mapping[str, str]) -> str:
    """What an alert is about, in a few words."""
    told = (labels.get(name, "") for name in ("service", "route", "container"))
    return " ".join(dict.fromkeys(part for part in told if part))


def expected_alerts(course: Course, fragile_container: str | None) -> list[ExpectedAlert]:
    """The alerts that should have opened and resolved; no others should have fired.

    ``fragile_container`` is the one that was made to crash; None without containers.
    """
    at_once = frozenset({course.begin + MINUTE})
    after_a_minute = frozenset({course.begin + 2 * MINUTE})
    recovered = course.end + MINUTE
    simulations = {"service": "sim-runner", "route": "simulations"}
    alerts = [
        ExpectedAlert("request-timeouts", simulations, after_a_minute, recovered),
        ExpectedAlert("request-server-errors", simulations, after_a_minute, recovered),
        ExpectedAlert("slow-requests", simulations, after_a_minute, recovered),
        ExpectedAlert(
            "authentication-failures",
            {"service": "admin", "route": "admin"},
            at_once,
            recovered,
        ),
        ExpectedAlert("failed-simulations", {"service": "sim-runner"}, at_once, recovered),
    ]
    if fragile_container:
        alerts.append(
            ExpectedAlert(
                "container-restarts",
                {"container": fragile_container},
                # samples are taken live, some time after the end of the window that they stand for:
                # the first one may see the incident, or, with Airflow late, have no predecessor
                at_once | after_a_minute | {course.begin},
                recovered,
            )
        )
    return alerts


def unexpected(
    fired: Iterable[tuple[str, Mapping[str, str]]], expected: Iterable[ExpectedAlert]
) -> list[str]:
    """Alerts that fired and should not have, as text."""
    wanted = list(expected)
    return [
        f"{policy} {subject(labels)}"
        for policy, labels in fired
        if not any(alert.matches(policy, labels) for alert in wanted)
    ]
