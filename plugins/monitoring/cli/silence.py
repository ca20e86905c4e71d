"""``monitoring silence``: alerts that nobody is to be told of for a time."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitoring.cli.options import Format, is_json, opened_store
from monitoring.window import parse_time
from userdb.errors import MonitoringError

if TYPE_CHECKING:
    from monitoring.alerts.time_intervals import TimeInterval

silence = typer.Typer(help="Silences and maintenance windows.", no_args_is_help=True)

Author = Annotated[str | None, typer.Option(help="who does it; default: the system's user")]


@silence.command("add")
def silence_add(
    matcher: Annotated[
        list[str], typer.Option(help="""'service="sim"'; = != =~ !~; repeatable, all must match""")
    ],
    comment: Annotated[str, typer.Option(help="why")],
    for_: Annotated[str | None, typer.Option("--for", help="how long: 2h, 1d")] = None,
    start: Annotated[str | None, typer.Option("--from", help="RFC 3339; default: now")] = None,
    end: Annotated[str | None, typer.Option("--to", help="RFC 3339, exclusive")] = None,
    times: Annotated[
        list[str] | None, typer.Option("--recur-times", help="22:00-23:30; repeatable")
    ] = None,
    weekdays: Annotated[
        list[str] | None, typer.Option("--recur-weekdays", help="monday:friday, sunday; repeatable")
    ] = None,
    days: Annotated[
        list[str] | None, typer.Option("--recur-days", help="of the month: 1:7, -1; repeatable")
    ] = None,
    months: Annotated[
        list[str] | None, typer.Option("--recur-months", help="june:august; repeatable")
    ] = None,
    location: Annotated[
        str | None, typer.Option("--recur-location", help="time zone; default: UTC")
    ] = None,
    author: Author = None,
    format_: Format = "table",
) -> None:
    """Silence the alerts that match, for a time, or again and again: a maintenance window.

    With --recur options it holds only at these times, and needs no end.
    """
    from monitoring.alerts.matchers import Matcher
    from monitoring.alerts.silences import add_silence
    from monitoring.cli.output import print_json
    from monitoring.duration import parse_duration

    as_json = is_json(format_)
    now = datetime.now(UTC)
    if for_ is not None and end is not None:
        raise typer.BadParameter("give --for or --to, not both")
    starts_at = now if start is None else parse_time(start, "--from")
    ends_at = None if end is None else parse_time(end, "--to")
    try:
        if for_ is not None:
            ends_at = starts_at + parse_duration(for_)
        matchers = [Matcher.parse(text) for text in matcher]
    except ValueError as error:
        raise MonitoringError(str(error)) from None
    recurrence = _recurrence(
        times=[_times(text) for text in times or ()],
        weekdays=weekdays,
        days_of_month=days,
        months=months,
        location=location,
    )
    with opened_store() as store:
        made = add_silence(
            store,
            matchers,
            starts_at=starts_at,
            ends_at=ends_at,
            author=author or getpass.getuser(),
            comment=comment,
            now=now,
            recurrence=recurrence,
        )
    print_json({"id": made.id}) if as_json else print(made.id)


@silence.command("list")
def silence_list(
    all_: Annotated[bool, typer.Option("--all", help="those that are over too")] = False,
    format_: Format = "table",
) -> None:
    """Silences by start."""
    from monitoring.alerts.silences import read_silences
    from monitoring.cli.output import print_json
    from monitoring.cli.routing_output import print_silences, silence_rows

    as_json = is_json(format_)
    now = datetime.now(UTC)
    with opened_store() as store, store.read() as connection:
        rows = silence_rows(read_silences(connection, since=None if all_ else now), now)
    print_json(rows) if as_json else print_silences(rows)


@silence.command("expire")
def silence_expire(silence_id: str, author: Author = None) -> None:
    """End a silence now: what still fires is told."""
    from monitoring.alerts.silences import expire_silence

    with opened_store() as store:
        expire_silence(store, silence_id, author=author or getpass.getuser(), now=datetime.now(UTC))


def _times(text: str) -> dict[str, str]:
    start, dash, end = text.partition("-")
    if not dash:
        raise MonitoringError(f"--recur-times {text!r}: write a range, 22:00-23:30")
    return {"start_time": start.strip(), "end_time": end.strip()}


def _recurrence(**given: Any) -> TimeInterval | None:
    from pydantic import ValidationError

    from monitoring.alerts.time_intervals import TimeInterval

    fields = {name: value for name, value in given.items() if value}
    if not fields:
        return None
    if set(fields) == {"location"}:
        raise MonitoringError("--recur-location says when only with another --recur option")
    try:
        return TimeInterval.model_validate(fields)
    except ValidationError as error:
        told = (mistake["msg"].removeprefix("Value error, ") for mistake in error.errors())
        raise MonitoringError(f"--recur: {'; '.join(told)}") from None
