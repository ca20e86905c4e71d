"""``monitoring alerts``: alerts, their history, and what operators do about them."""

from __future__ import annotations

from typing import Annotated

import typer

from monitoring.cli import acts
from monitoring.cli.options import Format, PolicyName, Since, Until, is_json, opened_store
from monitoring.window import parse_time
from userdb.errors import MonitoringError

alerts = typer.Typer(
    help="Alerts, their history, and what operators do about them.", no_args_is_help=True
)
for command in (acts.ack, acts.unack, acts.comment, acts.assign, acts.resolve, acts.mark):
    alerts.command()(command)


@alerts.command("list")
def alerts_list(
    state: Annotated[
        str | None, typer.Option(help="pending, firing or resolved; default: all that fired")
    ] = None,
    policy_name: PolicyName = None,
    matcher: Annotated[
        list[str] | None,
        typer.Option(help="""'service="sim"'; = != =~ !~; repeatable, all must match"""),
    ] = None,
    acknowledged: Annotated[
        bool | None, typer.Option("--acknowledged/--unacknowledged", help="default: both")
    ] = None,
    since: Since = None,
    until: Until = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="what was known then; default: now")
    ] = None,
    limit: Annotated[int, typer.Option(min=1)] = 500,
    format_: Format = "table",
) -> None:
    """Alerts, newest first."""
    from monitoring.alerts.matchers import Matcher
    from monitoring.alerts.read import STATES
    from monitoring.alerts.search import AlertFilter, find_alerts
    from monitoring.cli.output import print_alerts, print_json

    as_json = is_json(format_)
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"{state!r} is not a state; choose {', '.join(STATES)}")
    try:
        matchers = tuple(Matcher.parse(text) for text in matcher or ())
    except ValueError as error:
        raise MonitoringError(str(error)) from None
    wanted = AlertFilter(
        state=state,
        policy=policy_name,
        matchers=matchers,
        acknowledged=acknowledged,
        since=None if since is None else parse_time(since, "--from"),
        until=None if until is None else parse_time(until, "--to"),
        fired=True if state is None else None,
    )
    then = None if as_of is None else parse_time(as_of, "--as-of")
    with opened_store() as store, store.read() as connection:
        page = find_alerts(connection, wanted, as_of=then, limit=limit)
        rows = page.rows
        while page.rest is not None and len(rows) < limit:
            page = find_alerts(
                connection, wanted, as_of=then, after=page.rest, limit=limit - len(rows)
            )
            rows += page.rows
    print_json(rows) if as_json else print_alerts(rows)


@alerts.command("show")
def alerts_show(alert_id: str, format_: Format = "table") -> None:
    """One alert, its history, and evidence: what userdb holds of it."""
    from monitoring.alerts.read import get_alert, read_history
    from monitoring.cli.output import print_alert, print_json
    from monitoring.notify.context import evidence_of

    as_json = is_json(format_)
    with opened_store() as store, store.read() as connection:
        row = get_alert(connection, alert_id)
        if row is None:
            raise MonitoringError(
                f"there is no alert {alert_id}; `monitoring alerts list` shows those there are"
            )
        history = read_history(connection, row.id)
        evidence = evidence_of(connection, row)
    if as_json:
        found = [one.model_dump() for one in evidence]
        print_json({"alert": row, "evidence": found, "history": history})
    else:
        print_alert(row, evidence, history)


@alerts.command("history")
def alerts_history(
    alert_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="of one alert")] = None,
    policy_name: PolicyName = None,
    since: Since = None,
    until: Until = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="what was known then; default: now")
    ] = None,
    format_: Format = "table",
) -> None:
    """Transitions in event time, those that hold or those that were held at ``--as-of``, and what
    operators did."""
    from monitoring.alerts.read import read_history
    from monitoring.cli.output import print_history, print_json

    as_json = is_json(format_)
    with opened_store() as store, store.read() as connection:
        rows = read_history(
            connection,
            alert_id,
            policy=policy_name,
            since=None if since is None else parse_time(since, "--from"),
            until=None if until is None else parse_time(until, "--to"),
            as_of=None if as_of is None else parse_time(as_of, "--as-of"),
        )
    print_json(rows) if as_json else print_history(rows)


@alerts.command("export")
def alerts_export(
    policy_name: PolicyName = None,
    since: Since = None,
    until: Until = None,
    format_: Format = "json",
) -> None:
    """Alerts and transitions, all of them, in a stable order: two databases with the same facts
    export the same text."""
    from monitoring.alerts.export import export_document
    from monitoring.alerts.read import alert_history
    from monitoring.alerts.search import list_alerts
    from monitoring.cli.output import print_export, print_json

    as_json = is_json(format_)
    start = None if since is None else parse_time(since, "--from")
    end = None if until is None else parse_time(until, "--to")
    with opened_store() as store, store.read() as connection:
        history = alert_history(connection, policy=policy_name, since=start, until=end)
        rows = list_alerts(connection, policy=policy_name, since=start, until=end, limit=None)
    document = export_document(rows, history)
    print_json(document) if as_json else print_export(document)
