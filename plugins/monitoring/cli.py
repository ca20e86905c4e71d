"""The command ``monitoring``: the chain without Airflow."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from monitoring.cli_backtest import backtest
from monitoring.cli_options import Format, is_json, open_current_store
from monitoring.cli_policy import policy
from monitoring.window import Window, parse_time, refuse_future
from userdb.errors import MonitoringError

if TYPE_CHECKING:
    from monitoring.alerts.read import TransitionRow
    from userdb.store import Store

app = typer.Typer(
    help="Collect, analyse and look at what the monitoring chain knows.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="userdb's schema.", no_args_is_help=True)
alerts = typer.Typer(help="Alerts and their history.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(alerts, name="alerts")
app.add_typer(policy, name="policy")
app.command()(backtest)

From = Annotated[str, typer.Option("--from", help="start, RFC 3339, inclusive")]
To = Annotated[str, typer.Option("--to", help="end, RFC 3339, exclusive")]
Notify = Annotated[bool, typer.Option("--notify", help="tell receivers what changed")]
Since = Annotated[str | None, typer.Option("--from", help="leave out what ended before")]
Until = Annotated[str | None, typer.Option("--to", help="leave out what began then or later")]
PolicyName = Annotated[str | None, typer.Option("--policy", help="of one policy")]


def main() -> None:
    """Entry point: errors of ours are one line on stderr and exit code 1."""
    try:
        app()
    except MonitoringError as error:
        Console(stderr=True).print(
            f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        sys.exit(1)


def _window(start: str, end: str) -> tuple[Window, datetime]:
    now = datetime.now(UTC)
    window = Window(parse_time(start, "--from"), parse_time(end, "--to"))
    refuse_future(window, now)
    return window, now


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring userdb's schema to the code's revision; a new database is created."""
    from userdb.migrate import upgrade
    from userdb.store import open_store

    store = open_store()
    upgrade(store)
    _print_revision(store)


@db.command("current")
def db_current() -> None:
    """Which database is in use, and its schema's revision."""
    from userdb.store import open_store

    _print_revision(open_store())


def _print_revision(store: Store) -> None:
    from userdb.migrate import current

    try:
        Console(soft_wrap=True).print(
            f"{store.url}: {current(store) or 'no schema; run `monitoring db upgrade`'}",
            highlight=False,
        )
    finally:
        store.close()


@app.command()
def collect(
    start: From,
    end: To,
    collector: Annotated[list[str] | None, typer.Option(help="only this one; may repeat")] = None,
) -> None:
    """Collect a window into userdb."""
    from monitoring.cli_output import print_collections

    window, now = _window(start, end)
    with open_current_store() as store:
        ok = print_collections(store, window, now, collector)
    if not ok:
        raise typer.Exit(1)


@app.command()
def analyse(start: From, end: To, notify: Notify = False) -> None:
    """Score the policies over a window and bring the alert history up to date."""
    from monitoring.chain import analyze_and_alert
    from monitoring.cli_output import print_analysis

    window, now = _window(start, end)
    with open_current_store() as store:
        ok = print_analysis(analyze_and_alert(window, store, now=now, send=notify))
    if not ok:
        raise typer.Exit(1)


@app.command()
def run(start: From, end: To, notify: Notify = False) -> None:
    """Collect a window, then analyse it: the whole chain. A collector that fails doesn't stop
    the analysis of the others."""
    from monitoring.chain import analyze_and_alert
    from monitoring.cli_output import print_analysis, print_collections

    window, now = _window(start, end)
    with open_current_store() as store:
        collected = print_collections(store, window, now, None)
        analysed = print_analysis(analyze_and_alert(window, store, now=now, send=notify))
    if not (collected and analysed):
        raise typer.Exit(1)


@app.command()
def status(format_: Format = "table") -> None:
    """Which userdb is in use; what is covered, missing, late and stale."""
    from monitoring.cli_output import print_json, print_status
    from monitoring.signals import COLLECTORS
    from monitoring.status import read_status

    as_json = is_json(format_)
    with open_current_store() as store:
        state = read_status(store, now=datetime.now(UTC), collectors=COLLECTORS)
    print_json(state) if as_json else print_status(state)


@app.command()
def signals() -> None:
    """What a policy can look at."""
    from monitoring.cli_output import print_signals

    print_signals()


@alerts.command("list")
def alerts_list(
    state: Annotated[
        str | None, typer.Option(help="pending, firing or resolved; default: all that fired")
    ] = None,
    policy_name: PolicyName = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1)] = 500,
    format_: Format = "table",
) -> None:
    """Alerts, newest first."""
    from monitoring.alerts.read import STATES, list_alerts
    from monitoring.cli_output import print_alerts, print_json

    as_json = is_json(format_)
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"{state!r} is not a state; choose {', '.join(STATES)}")
    with open_current_store() as store, store.read() as connection:
        rows = list_alerts(
            connection,
            state=state,
            policy=policy_name,
            since=None if since is None else parse_time(since, "--from"),
            until=None if until is None else parse_time(until, "--to"),
            fired=True if state is None else None,
            limit=limit,
        )
    print_json(rows) if as_json else print_alerts(rows)


@alerts.command("show")
def alerts_show(alert_id: str, format_: Format = "table") -> None:
    """One alert, its history, and what receivers were told of it."""
    from monitoring.alerts.read import alert_history, get_alert
    from monitoring.cli_output import print_alert, print_json

    as_json = is_json(format_)
    with open_current_store() as store, store.read() as connection:
        row = get_alert(connection, alert_id)
        if row is None:
            raise MonitoringError(
                f"there is no alert {alert_id}; `monitoring alerts list` shows those there are"
            )
        history = alert_history(connection, row.id)
    print_json({"alert": row, "history": history}) if as_json else print_alert(row, history)


@alerts.command("history")
def alerts_history(
    policy_name: PolicyName = None,
    since: Since = None,
    until: Until = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="what was known then; default: now")
    ] = None,
    format_: Format = "table",
) -> None:
    """Transitions in event time: those that hold, or those that were held at ``--as-of``."""
    from monitoring.cli_output import print_history, print_json

    as_json = is_json(format_)
    rows = _history(policy_name, since, until, as_of)
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
    from monitoring.alerts.read import list_alerts
    from monitoring.cli_output import print_export, print_json

    as_json = is_json(format_)
    history = _history(policy_name, since, until, None)
    with open_current_store() as store, store.read() as connection:
        rows = list_alerts(
            connection,
            policy=policy_name,
            since=None if since is None else parse_time(since, "--from"),
            until=None if until is None else parse_time(until, "--to"),
            limit=None,
        )
    document = export_document(rows, history)
    print_json(document) if as_json else print_export(document)


def _history(
    policy_name: str | None, since: str | None, until: str | None, as_of: str | None
) -> list[TransitionRow]:
    from monitoring.alerts.read import alert_history

    with open_current_store() as store, store.read() as connection:
        return alert_history(
            connection,
            policy=policy_name,
            since=None if since is None else parse_time(since, "--from"),
            until=None if until is None else parse_time(until, "--to"),
            as_of=None if as_of is None else parse_time(as_of, "--as-of"),
        )
