"""How silences and routes are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.markup import escape
from rich.table import Table

from monitoring.alerts.silence import Silence
from monitoring.cli.output import console, time_text, wide
from monitoring.duration import format_duration
from monitoring.notify.routing.definition import EVERYONE
from monitoring.notify.routing.tree import Routing

_STYLES = {"active": "bold yellow", "waiting": "yellow", "pending": "cyan", "expired": "dim"}


@dataclass(frozen=True)
class SilenceRow:
    id: str
    state: str
    matchers: list[str]
    starts_at: datetime
    ends_at: datetime | None
    recurrence: dict[str, Any] | None
    author: str
    comment: str
    expired_by: str | None


def silence_rows(silences: Sequence[Silence], now: datetime) -> list[SilenceRow]:
    """Rows to be shown, each with its state at ``now``."""
    return [
        SilenceRow(
            one.id,
            one.state(now),
            [str(matcher) for matcher in one.matchers],
            one.starts_at,
            one.over_at,
            None
            if one.recurrence is None
            else one.recurrence.model_dump(mode="json", exclude_defaults=True),
            one.author,
            one.comment,
            one.expired_by,
        )
        for one in silences
    ]


def print_silences(rows: Sequence[SilenceRow]) -> None:
    table = Table()
    for column in ("id", "state", "matchers", "from", "until", "recurs", "author", "comment"):
        table.add_column(column, no_wrap=column in ("id", "state", "from", "until"))
    for row in rows:
        table.add_row(
            row.id,
            f"[{_STYLES[row.state]}]{row.state}",
            escape(" ".join(row.matchers)),
            time_text(row.starts_at),
            time_text(row.ends_at),
            escape(_recurrence_text(row.recurrence)),
            escape(row.author),
            escape(row.comment),
        )
    wide().print(table)


def _recurrence_text(recurrence: Mapping[str, Any] | None) -> str:
    if recurrence is None:
        return "-"
    parts = [f"{one['start_time']}-{one['end_time']}" for one in recurrence.get("times", ())]
    for name in ("weekdays", "days_of_month", "months", "years"):
        parts += recurrence.get(name, ())
    return " ".join([*parts, recurrence.get("location", "UTC")])


@dataclass(frozen=True)
class RouteRow:
    """A receiver that is told by a route; ``after`` without an acknowledgement, None: at once."""

    receiver: str
    after: str | None
    route: str
    group: str
    group_wait: str
    group_interval: str
    repeat_interval: str | None
    muted: bool


def route_rows(
    routing: Routing, labels: Mapping[str, str], receivers: Sequence[str], now: datetime
) -> list[RouteRow]:
    """Who of ``receivers`` is told of an alert with ``labels``; ``*`` where there is none."""
    return [
        RouteRow(
            each.receiver,
            _text(each.after),
            route.key,
            route.group(labels).key,
            format_duration(route.wait),
            format_duration(route.interval),
            _text(route.repeat),
            route.is_muted(now),
        )
        for route in routing.root.matching(labels)
        for each in route.audience(receivers or [EVERYONE, *route.named])
    ]


def _text(duration: timedelta | None) -> str | None:
    return None if duration is None else format_duration(duration)


def print_routes(rows: Sequence[RouteRow]) -> None:
    table = Table()
    for column in ("receiver", "when", "group", "wait", "interval", "repeat", "now"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            escape(row.receiver),
            "at once" if row.after is None else f"not acknowledged for {row.after}",
            escape(row.group),
            row.group_wait,
            row.group_interval,
            row.repeat_interval or "never",
            "[yellow]muted" if row.muted else "told",
        )
    wide().print(table)
    if not rows:
        console.print("nobody: no receiver that these routes name is set up", highlight=False)
