"""How the command line shows things: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monitoring.signals import COLLECTORS, SIGNALS
from userdb.errors import MonitoringError

if TYPE_CHECKING:  # the command starts faster without what it does not need
    from monitoring.alerts.read import ActRow, AlertRow, TransitionRow
    from monitoring.chain import AnalysisReport
    from monitoring.notify.evidence import Evidence
    from monitoring.replay import ReplayReport
    from monitoring.status import Status
    from monitoring.watch import Watch
    from monitoring.window import Window
    from userdb.ledger import CollectionReport
    from userdb.store import Store

_STYLES = {"firing": "bold red", "pending": "yellow", "resolved": "green"}

#: Episodes that a table of what a replay changed shows.
_MOST_CHANGES = 50

console = Console(soft_wrap=False)


def time_text(at: datetime | None) -> str:
    """``2026-01-31 10:00Z``; a dash for None."""
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def label_text(labels: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items())) or "-"


def value_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def print_json(data: Any) -> None:
    """Dataclasses, datetimes (RFC 3339) and containers of them, as indented JSON on stdout."""
    print(json.dumps(_plain(data), indent=2, ensure_ascii=False))


def _plain(data: Any) -> Any:
    if is_dataclass(data) and not isinstance(data, type):
        return _plain(asdict(data))
    if isinstance(data, datetime):
        return data.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    return data


def print_collections(
    store: Store, window: Window, now: datetime, names: Sequence[str] | None
) -> bool:
    """Collect ``window`` with each collector and show what came of it; false if any failed."""
    from monitoring.chain import collect
    from monitoring.log_context import bound_run

    table = Table(title=f"collected {window}")
    for column in ("collector", "source", "status", "rows", "rejected", "late"):
        table.add_column(
            column, justify="right" if column in ("rows", "rejected", "late") else "left"
        )
    ok = True
    messages: list[tuple[str, str]] = []
    for name in names or COLLECTORS:
        try:
            report = collect(name, window, store, now=now, run_id=bound_run())
        except MonitoringError as error:
            ok = False
            table.add_row(name, "*", "[bold red]failed", "0", "0", "0")
            messages.append((name, str(error)))
            continue
        ok &= report.ok
        messages += _add_report(table, name, report)
    console.print(table)
    for name, message in messages:
        console.print(f"[bold]{name}:[/] {escape(message)}", highlight=False, soft_wrap=True)
    return ok


def _add_report(table: Table, name: str, report: CollectionReport) -> list[tuple[str, str]]:
    """A row a source; returns what the sources have to say, by collector."""
    for source in report.sources:
        table.add_row(
            name,
            source.source,
            "[green]ok" if source.status == "ok" else f"[bold red]{source.status}",
            str(source.rows),
            str(source.rejected),
            str(source.late),
        )
    if not report.sources:
        table.add_row(name, "-", "nothing configured", "0", "0", "0")
    return [(name, source.message) for source in report.sources if source.message]


def print_analysis(report: AnalysisReport) -> bool:
    """Show what the analysis did; false if a policy or a delivery failed."""
    scores, alerts = report.scores, report.alerts
    console.print(
        f"scored {scores.policies} policies, {scores.evaluations} evaluations; "
        f"{scores.breaching} series breach at the end, {scores.unknown} evaluations unknown",
        highlight=False,
    )
    console.print(
        f"alerts: {alerts.pending} pending, {alerts.firing} fired, {alerts.resolved} resolved, "
        f"{alerts.superseded} transitions superseded",
        highlight=False,
    )
    for name, number in scores.frozen.items():
        console.print(
            f"{name}: {number} evaluations look back past the retention floor, and were left as "
            "they are",
            highlight=False,
        )
    errors = {**scores.errors, **alerts.errors}
    told = report.notifications
    if told is not None:
        console.print(
            f"notifications: {told.receivers} receivers, {told.decided} new messages, "
            f"{told.sent} sent, {told.pending} pending, {told.dead} given up"
            + (f", {told.held} alerts held back" if told.held else "")
            + (f"; {told.message}" if told.message else ""),
            highlight=False,
        )
        errors |= told.errors
    for name, error in errors.items():
        console.print(f"[bold red]{name}:[/] {escape(error)}", highlight=False, soft_wrap=True)
    return not errors


def print_alerts(rows: Sequence[AlertRow]) -> None:
    table = Table()
    for column in ("id", "state", "severity", "policy", "labels", "active", "fired", "resolved"):
        table.add_column(column, no_wrap=column in ("id", "active", "fired", "resolved"))
    table.add_column("value", justify="right")
    table.add_column("operators")
    for row in rows:
        table.add_row(
            row.id,
            f"[{_STYLES.get(row.state, '')}]{row.state}",
            row.severity,
            row.policy,
            label_text(row.labels),
            time_text(row.active_at),
            time_text(row.fired_at),
            time_text(row.resolved_at),
            value_text(row.value),
            escape(feedback_text(row)),
        )
    wide().print(table)


def feedback_text(row: AlertRow) -> str:
    """Who acknowledged an alert, who takes care of it, and whether it was right."""
    said = []
    if row.acknowledged_by is not None:
        said.append(f"acknowledged by {row.acknowledged_by}")
    if row.assignee is not None:
        said.append(f"assigned to {row.assignee}")
    if row.mark is not None:
        said.append(row.mark.replace("_", " "))
    return ", ".join(said) or "-"


def print_alert(
    row: AlertRow, evidence: Sequence[Evidence], history: Sequence[TransitionRow | ActRow]
) -> None:
    from monitoring.notify.phrases import ENGLISH
    from monitoring.notify.texts import evidence_text

    console.print(f"[bold]{row.policy}[/] {label_text(row.labels)}", highlight=False)
    console.print(f"[{_STYLES.get(row.state, '')}]{row.state}[/], {row.severity}, id {row.id}")
    if (said := feedback_text(row)) != "-":
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    for name, text in row.annotations.items():
        console.print(f"{name}: {text}", highlight=False, markup=False, soft_wrap=True)
    for one in evidence:
        line = f"- {evidence_text(ENGLISH, one)}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    print_history(history)


def print_history(rows: Sequence[TransitionRow | ActRow]) -> None:
    from monitoring.alerts.read import ActRow

    table = Table()
    for column in ("at", "policy", "labels", "from", "to", "value", "reason", "known since"):
        table.add_column(column, no_wrap=column in ("at", "known since"))
    for row in rows:
        start = (time_text(row.at), row.policy, escape(label_text(row.labels)))
        if isinstance(row, ActRow):
            table.add_row(*start, "-", f"[cyan]{row.action}", "-", escape(_act_text(row)), "-")
            continue
        table.add_row(
            *start,
            row.from_state,
            f"[{_STYLES.get(row.to_state, '')}]{row.to_state}",
            value_text(row.value),
            row.reason,
            time_text(row.recorded_at),
        )
    wide().print(table)


def _act_text(row: ActRow) -> str:
    to = "" if row.assignee is None else f" to {row.assignee}"
    return f"by {row.author}{to}" + ("" if row.note is None else f": {row.note}")


def print_export(document: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    for name, rows in document.items():
        table = Table(title=name)
        for column in rows[0] if rows else ():
            table.add_column(column)
        for row in rows:
            table.add_row(*(str(_plain(value)) for value in row.values()))
        wide().print(table)


def print_signals() -> None:
    table = Table()
    for column in ("signal", "kind", "unit", "labels", "meaning"):
        table.add_column(column)
    for signal in SIGNALS.values():
        table.add_row(
            signal.name, signal.kind, signal.unit, ", ".join(signal.family.labels), signal.meaning
        )
    wide().print(table)


def print_status(state: Status) -> None:
    console.print(f"userdb: {state.userdb}", highlight=False, soft_wrap=True)
    console.print(f"schema: {state.revision}", highlight=False)
    table = Table(title="collectors, last 24 hours")
    for column in ("collector", "last window", "covered", "missing", "rejected", "late", "failure"):
        table.add_column(column)
    for one in state.collectors:
        shown = [str(window) for window in one.missing[:5]]
        if len(one.missing) > len(shown):
            shown.append(f"and {len(one.missing) - len(shown)} more")
        failure = one.last_failure
        table.add_row(
            one.name,
            "never" if one.last_ok is None else str(one.last_ok),
            f"{one.covered_share:.1%}",
            "\n".join(shown) or "-",
            str(one.rejected_rows),
            str(one.late_rows),
            "-" if failure is None else f"{failure.source} {failure.window}: {failure.message}",
        )
    wide().print(table)
    policies = Table(title="policies")
    for column in ("policy", "evaluated until", "present state", "firing"):
        policies.add_column(column)
    for row in state.policies:
        policies.add_row(
            row.policy,
            time_text(row.watermark),
            "[yellow]stale" if row.stale else "[green]good",
            str(row.firing),
        )
    console.print(policies)
    console.print(
        f"{state.firing} alerts fire; {state.pending_deliveries} messages are on their way, "
        f"{state.dead_deliveries} were given up",
        highlight=False,
    )
    for service in state.protected_services:
        console.print(
            f"[bold red]{escape(service)}[/] has fewer healthy instances than its floor",
            highlight=False,
        )
    for family, at in state.kept_since.items():
        console.print(f"{family} minutes before {time_text(at)} were purged", highlight=False)


def print_watch(found: Watch) -> None:
    for subject, why in found.problems.items():
        console.print(
            f"[bold red]{escape(subject)}:[/] {escape(why)}", highlight=False, soft_wrap=True
        )
    if not found.problems:
        console.print("nothing is wrong with the chain")
    for subject in found.untold:
        console.print(f"could not be told: {escape(subject)}", highlight=False, soft_wrap=True)


def wide() -> Console:
    """Tables of ids and times stay whole where stdout is no terminal."""
    return console if console.is_terminal else Console(width=220)


def print_replay(report: ReplayReport) -> None:
    """What a replay scored, and the episodes that it changed."""
    console.print(
        f"{report.policies} policies, {report.evaluations} evaluations, "
        f"{report.pairs} evaluations of a series; "
        f"{len(report.changes)} episodes are not what they were",
        highlight=False,
    )
    if not report.changes:
        return
    table = Table("", "policy", "labels", "active", "fired", "resolved")
    styles = {"added": "green", "removed": "red", "changed": "yellow"}
    for one in report.changes[:_MOST_CHANGES]:
        table.add_row(
            f"[{styles[one.what]}]{one.what}",
            one.policy,
            escape(label_text(one.labels)),
            *(time_text(at) for at in (one.active_at, one.fired_at, one.resolved_at)),
        )
    console.print(table)
    if len(report.changes) > _MOST_CHANGES:
        console.print(f"… and {len(report.changes) - _MOST_CHANGES} more; --format json has all")
