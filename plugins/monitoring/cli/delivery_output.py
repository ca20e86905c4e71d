"""Receivers and deliveries, shown as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from monitoring.cli.output import console, label_text, time_text, wide

if TYPE_CHECKING:
    from monitoring.notify.deliveries import AttemptRow, DeliveryRow

_STYLES = {"sent": "green", "dead": "bold red", "pending": "yellow", "sending": "yellow"}
_OUTCOMES = {"sent": "green", "retry": "yellow", "permanent": "bold red"}


@dataclass(frozen=True)
class ReceiverRow:
    """A receiver; with an error it is unusable, and the rest is not known."""

    name: str
    kind: str | None
    address: str | None
    language: str | None
    error: str | None


def print_receivers(rows: Sequence[ReceiverRow]) -> None:
    table = Table()
    for column in ("receiver", "kind", "address", "language", "state"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            escape(row.name),
            row.kind or "-",
            escape(row.address or "-"),
            row.language or "-",
            "[green]usable" if row.error is None else "[bold red]unusable",
        )
    wide().print(table)
    for row in rows:
        if row.error is not None:
            console.print(
                f"[bold red]{escape(row.name)}:[/] {escape(row.error)}",
                highlight=False,
                soft_wrap=True,
            )


def print_answer(receiver: str, what: str, ok: bool, text: str) -> None:
    style = "green" if ok else "bold red"
    console.print(
        f"{escape(receiver)} {escape(what)}: [{style}]{'ok' if ok else 'failed'}[/], "
        f"{escape(' '.join(text.split()))}",
        highlight=False,
        soft_wrap=True,
    )


def print_deliveries(rows: Sequence[DeliveryRow]) -> None:
    table = Table()
    for column in ("id", "receiver", "group", "status", "alerts", "tries", "decided", "last try"):
        table.add_column(column, no_wrap=column in ("id", "decided"))
    for row in rows:
        table.add_row(
            row.id,
            escape(row.receiver),
            escape(row.group_key),
            f"[{_STYLES[row.status]}]{row.status}[/]" + (" (overtaken)" if row.overtaken else ""),
            str(row.alerts),
            str(row.attempts),
            time_text(row.created_at),
            escape(" ".join((row.last or "-").split())[:80]),
        )
    wide().print(table)


def print_delivery(
    row: DeliveryRow, attempts: Sequence[AttemptRow], payload: Mapping[str, Any]
) -> None:
    console.print(
        f"[bold]{escape(row.receiver)}[/] {escape(row.group_key)}", highlight=False, soft_wrap=True
    )
    console.print(
        f"[{_STYLES[row.status]}]{row.status}[/], {row.kind}, decided {time_text(row.created_at)}, "
        f"ended {time_text(row.finished_at)}, sent again {time_text(row.resent_at)}",
        highlight=False,
        soft_wrap=True,
    )
    if row.status == "pending":
        console.print(f"next try {time_text(row.next_attempt_at)}", highlight=False)
    for alert in payload["alerts"]:
        console.print(
            f"- {alert['status']}: {escape(label_text(alert['labels']))}",
            highlight=False,
            soft_wrap=True,
        )
    table = Table("try", "began", "took", "outcome", "HTTP", "answer")
    for one in attempts:
        table.add_row(
            str(one.number),
            time_text(one.started_at),
            f"{one.duration_s:.2f} s",
            f"[{_OUTCOMES[one.outcome]}]{one.outcome}",
            str(one.http_status or "-"),
            escape(" ".join((one.response or "-").split())),
        )
    wide().print(table)
