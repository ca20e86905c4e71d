"""``monitoring consume``: events out of a RabbitMQ queue."""

from __future__ import annotations

import logging
import os
import signal
from datetime import UTC, datetime
from typing import Annotated

import typer

from monitoring.cli.options import note, opened_store
from userdb.errors import ConfigError

#: Environment variable with the server's URL, password and all.
URL_SETTING = "MONITORING_AMQP_URL"


def consume(
    queue: Annotated[str, typer.Option(help="queue to take events from")] = "monitoring.events",
    dead_letters: Annotated[
        str, typer.Option(help="queue for what can't be stored; default: the queue's name + .dead")
    ] = "",
) -> None:
    """Store events out of a queue of the AMQP server at MONITORING_AMQP_URL, until SIGTERM or
    Ctrl-C. A message is acknowledged when its events are stored."""
    from monitoring.intake import Bounds
    from monitoring.intake.airflow_runs import RestRuns
    from monitoring.intake.amqp import AmqpConsumer
    from monitoring.intake.urgent import UrgentRuns, describe

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    url = os.environ.get(URL_SETTING, "").strip()
    if not url:
        raise ConfigError(f"set {URL_SETTING} to the server's URL: amqp://user:password@host:5672/")
    note(describe(RestRuns.from_environment()))
    urgent = UrgentRuns(RestRuns.from_environment, clock=lambda: datetime.now(UTC))
    with opened_store() as store:
        consumer = AmqpConsumer(
            url=url,
            queue=queue,
            dead_letters=dead_letters,
            store=store,
            bounds=Bounds.from_environment(),
            clock=lambda: datetime.now(UTC),
            taken=lambda receipt: urgent.notice(store, receipt.new),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: consumer.stop())
        done = consumer.run()
    typer.echo(
        f"{done.messages} messages: {done.stored} events stored, {done.repeated} repeated, "
        f"{done.rejected} rejected; {done.dead} dead letters"
    )
