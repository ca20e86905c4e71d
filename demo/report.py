"""The demo's end: what was collected, which alerts opened and resolved, what the receiver got,
and whether all of that is what the incident should have given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitoring.alerts.read import AlertRow
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo.incident import Course, ExpectedAlert, subject, unexpected
from demo.observed import MinuteRow, Problem
from demo.stage import style_of
from demo.traffic import OUTCOMES, Tally
from demo.webhook import Message

_PHASE_STYLES = {"healthy": "green", "incident": "red", "recovery": "cyan"}


@dataclass(frozen=True)
class Run:
    """A run of the chain in Airflow, from its first task's start to its last one's end.

    ``failures`` are the tasks that failed, with their reasons.
    """

    window: str
    state: str
    seconds: float
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """Everything that the demo saw, from both ends: what happened, and what the chain made of it.

    ``reported`` is what the services reported; ``events`` are stored and counted ones.
    ``fragile`` is the container that was made to crash, or None, and ``restarts`` how often the
    engine restarted it.
    """

    course: Course
    runs: Sequence[Run]
    minutes: Sequence[MinuteRow]
    tally: Tally
    collected: Mapping[tuple[str, str], int]
    reported: int
    events: tuple[int, int]
    fragile: str | None
    problems: Sequence[Problem]
    alerts: Sequence[AlertRow]
    expected: Sequence[ExpectedAlert]
    messages: Sequence[Message]


@dataclass(frozen=True)
class Check:
    """One thing that must be so; ``detail`` says how it is."""

    what: str
    ok: bool
    detail: str


def checks(outcome: Outcome) -> list[Check]:
    """What the incident should have given, and whether it did."""
    found = [_runs(outcome), _requests(outcome), _events(outcome)]
    if outcome.fragile:
        found.append(_containers(outcome))
    found += [_alert(expected, outcome.alerts) for expected in outcome.expected]
    return [*found, _others(outcome), _told(outcome)]


def _begun_in(outcome: Outcome, problem: Problem) -> bool:
    """Whether all that is wrong is that the gateway's log begins within the first window."""
    return (
        problem.status == "unavailable"
        and problem.collector == "request_logs"
        and problem.window_start == outcome.course.windows()[0].start
    )


def _runs(outcome: Outcome) -> Check:
    bad = [
        f"{run.window} {run.state}: {'; '.join(run.failures) or 'it left no reason'}"
        for run in outcome.runs
        if run.state != "success"
    ]
    bad += [
        f"{problem.collector} {problem.source}: {problem.message or problem.status}"
        for problem in outcome.problems
        if not _begun_in(outcome, problem)
    ]
    count = len(outcome.runs)
    mean = sum(run.seconds for run in outcome.runs) / max(1, count)
    detail = f"{count} runs in Airflow, {mean:.1f} s each"
    if any(_begun_in(outcome, problem) for problem in outcome.problems):
        first = outcome.course.windows()[0].start
        detail += f"; {first:%H:%M} is known to be incomplete: the gateway's log begins in it"
    return Check(
        "every run of the chain succeeded",
        not bad and count == len(outcome.course.windows()),
        "; ".join(bad) or detail,
    )


def _requests(outcome: Outcome) -> Check:
    seen, collected = Counter(outcome.tally.seen), Counter(dict(outcome.collected))
    wrong = [
        f"{route or 'no route'} {kind}: {seen[route, kind]} sent, "
        f"{collected[route, kind]} collected"
        for route, kind in sorted(seen | collected)
        if seen[route, kind] != collected[route, kind]
    ]
    if outcome.tally.broken:
        wrong.append(f"{outcome.tally.broken} requests were broken off")
    return Check(
        "every request is in userdb, once",
        not wrong and seen.total() > 0,
        "; ".join(wrong)
        or f"{seen.total():,} sent, {collected.total():,} collected, alike by route and outcome",
    )


def _events(outcome: Outcome) -> Check:
    stored, counted = outcome.events
    return Check(
        "every reported exception is in userdb, once",
        0 < outcome.reported == stored == counted,
        f"{outcome.reported} reported, {stored} stored, {counted} counted",
    )


def _containers(outcome: Outcome) -> Check:
    sampled = [row for row in outcome.minutes if row.containers is not None]
    restarts = sum(row.restarts for row in sampled)
    return Check(
        "containers were sampled for every window",
        len(sampled) == len(outcome.course.windows()) and restarts > 0,
        f"{len(sampled)} of {len(outcome.course.windows())} windows; {restarts} restarts seen",
    )


def _alert(expected: ExpectedAlert, alerts: Sequence[AlertRow]) -> Check:
    what = f"{expected.policy} fired and resolved in time"
    episodes = [
        alert for alert in alerts if alert.fired_at and expected.matches(alert.policy, alert.labels)
    ]
    if len(episodes) != 1:
        return Check(what, False, "it never fired" if not episodes else "it fired more than once")
    alert = episodes[0]
    times = f"fired {alert.fired_at:%H:%M}, " + (
        f"resolved {alert.resolved_at:%H:%M}" if alert.resolved_at else "still firing"
    )
    right = alert.fired_at in expected.fires_at and alert.resolved_at == expected.resolves_at
    if right:
        return Check(what, True, times)
    when = " or ".join(f"{at:%H:%M}" for at in sorted(expected.fires_at))
    return Check(what, False, f"{times}; should be {when} and {expected.resolves_at:%H:%M}")


def _others(outcome: Outcome) -> Check:
    fired = [(alert.policy, alert.labels) for alert in outcome.alerts if alert.fired_at]
    others = unexpected(fired, outcome.expected)
    return Check("nothing else fired", not others, "; ".join(others) or f"{len(fired)} alerts")


def _told(outcome: Outcome) -> Check:
    told: Counter[tuple[str, str, str]] = Counter()
    for message in outcome.messages:
        if message.answered == 200:
            for alert in message.alerts:
                labels = alert.get("labels", {})
                told[labels.get("alertname", "?"), subject(labels), alert.get("status", "?")] += 1
    wanted = Counter(
        (alert.policy, alert.subject, status)
        for alert in outcome.expected
        for status in ("firing", "resolved")
    )
    wrong = [
        f"{name} {about} {status}: told {told[name, about, status]} times"
        for name, about, status in sorted(told.keys() | wanted.keys())
        # a message to a group repeats those of its alerts that still fire
        if not wanted[name, about, status] <= told[name, about, status]
        or (told[name, about, status] and not wanted[name, about, status])
    ]
    accepted = sum(message.answered == 200 for message in outcome.messages)
    turned_away = len(outcome.messages) - accepted
    return Check(
        "the receiver was told of each, firing and resolved",
        not wrong,
        "; ".join(wrong)
        or f"{accepted} messages accepted"
        + (f", {turned_away} turned away and sent again" if turned_away else ""),
    )


def show(console: Console, outcome: Outcome, verdict: Sequence[Check]) -> None:
    """Print the tables and the checks."""
    console.print()
    console.print(_collected_table(outcome, console.width))
    console.print(_alerts_table(outcome, wide=console.width >= 100))
    console.print(_messages_table(outcome))
    console.print(_checks_table(verdict))


def _table(title: str, caption: str | None = None) -> Table:
    return Table(
        title=title,
        caption=caption,
        title_style="bold",
        title_justify="left",
        caption_justify="left",
        caption_style="dim",
        box=box.SIMPLE_HEAD,
        header_style="dim",
        pad_edge=False,
    )


def _number(value: int, style: str = "") -> str:
    if not value:
        return "[dim]·[/]"
    return f"[{style}]{value:,}[/]" if style else f"{value:,}"


def _collected_table(outcome: Outcome, width: int) -> Table:
    wide = width >= 116
    table = _table("What was collected")
    table.collapse_padding = True
    if width < 90:
        table.padding = 0
    for heading in ("UTC", "phase"):
        table.add_column(heading, no_wrap=True)
    headings = ["requests", "ok", "refused", "timeouts", "5xx", "exceptions"]
    if wide:
        headings[2:2] = ["4xx"]
        headings.append("slowest")
    if outcome.fragile:
        headings += ["containers", "restarts"] if wide else ["restarts"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)

    def add(minute: str, phase: str, values: Mapping[str, str]) -> None:
        table.add_row(minute, phase, *(values.get(heading, "") for heading in headings))

    for row in outcome.minutes:
        phase = outcome.course.phase(row.minute)
        sampled = row.containers is not None
        values = _counts(row.requests, row.outcomes, row.events) | {
            "slowest": f"{row.slowest_ms:,.0f} ms",
            "containers": f"{row.containers}" if sampled else "[dim]–[/]",
            "restarts": _number(row.restarts, "red") if sampled else "[dim]–[/]",
        }
        add(f"{row.minute:%H:%M}", f"[{_PHASE_STYLES[phase]}]{phase}[/]", values)
    table.add_section()
    collected = {kind: sum(row.outcomes[kind] for row in outcome.minutes) for kind in OUTCOMES}
    total = _counts(
        sum(row.requests for row in outcome.minutes),
        collected,
        sum(row.events for row in outcome.minutes),
    )
    add("", "[bold]collected[/]", total)
    sent = _counts(outcome.tally.requests, outcome.tally.by_outcome(), outcome.reported)
    add("", "[bold]sent[/]", sent)
    return table


def _counts(requests: int, outcomes: Mapping[str, int], events: int) -> dict[str, str]:
    return {
        "requests": _number(requests),
        "ok": _number(outcomes["ok"]),
        "4xx": _number(outcomes["client_error"]),
        "refused": _number(outcomes["auth_failure"], "yellow"),
        "timeouts": _number(outcomes["timeout"], "red"),
        "5xx": _number(outcomes["server_error"], "red"),
        "exceptions": _number(events, "red"),
    }


def _alerts_table(outcome: Outcome, wide: bool) -> Table:
    table = _table("Alerts that opened and resolved")
    headings = ["alert", "severity", "active", "fired", "resolved", "summary"]
    if not wide:
        headings.remove("active")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "summary", overflow="fold")
    for alert in sorted(outcome.alerts, key=lambda alert: alert.fired_at or alert.active_at):
        cells = {
            "alert": f"[bold]{escape(alert.policy)}[/]",
            "severity": alert.severity,
            "active": f"{alert.active_at:%H:%M}",
            "fired": f"[red]{alert.fired_at:%H:%M}[/]" if alert.fired_at else "never",
            "resolved": (
                f"[green]{alert.resolved_at:%H:%M}[/]" if alert.resolved_at else alert.state
            ),
            "summary": escape(alert.annotations.get("summary", "")),
        }
        table.add_row(*(cells[heading] for heading in headings))
    if not outcome.alerts:
        table.add_row("none")
    return table


def _messages_table(outcome: Outcome) -> Table:
    table = _table("Webhooks received")
    for heading in ("at", "answered", "status", "alerts"):
        table.add_column(heading, no_wrap=heading != "alerts")
    for message in outcome.messages:
        names = Counter(
            f"[{style_of(str(alert.get('status')))}]{escape(str(name))}[/]"
            for alert in message.alerts
            for name in [alert.get("labels", {}).get("alertname", "?")]
        )
        table.add_row(
            f"{message.received_at:%H:%M:%S}",
            str(message.answered) if message.answered == 200 else f"[yellow]{message.answered}[/]",
            f"[{style_of(message.status)}]{escape(message.status)}[/]",
            ", ".join(names),
        )
    if not outcome.messages:
        table.add_row("none")
    return table


def _checks_table(verdict: Sequence[Check]) -> Table:
    table = _table("Is that what the incident should have given?")
    for heading in ("", "must be", "is"):
        table.add_column(heading)
    for check in verdict:
        table.add_row(
            "[bold green]yes[/]" if check.ok else "[bold red]NO[/]",
            check.what,
            escape(check.detail) if check.ok else f"[red]{escape(check.detail)}[/]",
        )
    return table
