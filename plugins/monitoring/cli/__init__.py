"""The command ``monitoring``: the chain without Airflow."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.markup import escape

from monitoring.cli.alerts import alerts
from monitoring.cli.backtest import backtest
from monitoring.cli.chain import analyse, collect, run, signals, status, watch
from monitoring.cli.consume import consume
from monitoring.cli.db import db
from monitoring.cli.deliveries import deliveries
from monitoring.cli.gateway import gateway
from monitoring.cli.key import key
from monitoring.cli.logs import logs
from monitoring.cli.pods import pods
from monitoring.cli.policy import policy
from monitoring.cli.receiver import receiver
from monitoring.cli.registry import routes, services
from monitoring.cli.replay import replay
from monitoring.cli.report import report
from monitoring.cli.requests import requests
from monitoring.cli.routing import routing
from monitoring.cli.serve import serve
from monitoring.cli.silence import silence
from userdb.errors import MonitoringError

__all__ = ["app", "main"]

log = logging.getLogger(__name__)

app = typer.Typer(
    help="Collect, analyse and look at what the monitoring chain knows.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    collect,
    analyse,
    run,
    replay,
    backtest,
    status,
    watch,
    report,
    signals,
    serve,
    consume,
):
    app.command()(command)
app.add_typer(db, name="db")
app.add_typer(alerts, name="alerts")
app.add_typer(policy, name="policy")
app.add_typer(logs, name="logs")
app.add_typer(requests, name="requests")
app.add_typer(routing, name="routing")
app.add_typer(silence, name="silence")
app.add_typer(receiver, name="receiver")
app.add_typer(key, name="key")
app.add_typer(services, name="services")
app.add_typer(routes, name="routes")
app.add_typer(gateway, name="gateway")
app.add_typer(deliveries, name="deliveries")
app.add_typer(pods, name="pods")


@app.callback()
def _begin(context: typer.Context) -> None:
    from monitoring.log_context import bound
    from monitoring.log_format import write_json_lines, writes_json

    context.with_resource(bound(command=context.invoked_subcommand))
    if writes_json():
        write_json_lines()


def main() -> None:
    """Entry point: errors of ours are one line on stderr and exit code 1."""
    from monitoring.log_context import bound

    run_id = f"cli__{datetime.now(UTC).isoformat(timespec='seconds')}_{os.getpid()}"
    with bound(run_id=run_id):
        try:
            app()
        except MonitoringError as error:
            _tell(error)
            sys.exit(1)


def _tell(error: MonitoringError) -> None:
    from monitoring.log_format import writes_json

    if writes_json(where_wrong=False):
        log.error(str(error))
    else:
        Console(stderr=True).print(
            f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True
        )
