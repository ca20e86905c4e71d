"""``monitoring receiver``: who is told, and whether telling works."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from monitoring.cli.options import Format, is_json
from userdb.errors import DeliveryError, MonitoringError

if TYPE_CHECKING:
    from monitoring.notify.channels import Channel, Message

receiver = typer.Typer(help="Receivers of messages.", no_args_is_help=True)


@receiver.command("list")
def receiver_list(format_: Format = "table") -> None:
    """The configured receivers, and what is wrong with those that can't be used."""
    from monitoring.cli.delivery_output import ReceiverRow, print_receivers
    from monitoring.cli.output import print_json
    from monitoring.notify.receiver_file import configured_receivers

    as_json = is_json(format_)
    loaded = configured_receivers()
    rows = [
        ReceiverRow(one.name, one.kind, one.address, one.language, None) for one in loaded.usable
    ]
    rows += [ReceiverRow(name, None, None, None, why) for name, why in loaded.errors.items()]
    print_json(rows) if as_json else print_receivers(rows)
    if loaded.errors:
        raise typer.Exit(1)


@receiver.command("test")
def receiver_test(name: str) -> None:
    """Send a sample alert, and its end, to one receiver, and show what it answers."""
    from monitoring.cli.delivery_output import print_answer
    from monitoring.notify.channels import open_channel
    from monitoring.notify.receiver_file import configured_receivers
    from monitoring.notify.sample import sample_messages

    logging.basicConfig(level=logging.INFO, format="%(message)s")  # what kind log writes
    loaded = configured_receivers()
    found = next((one for one in loaded.usable if one.name == name), None)
    if found is None:
        why = loaded.errors.get(name)
        names = ", ".join(one.name for one in loaded.usable) or "none"
        raise MonitoringError(why or f"there is no receiver {name!r}; there are: {names}")
    url = os.environ.get("MONITORING_EXTERNAL_URL", "").rstrip("/")
    messages = sample_messages(found, now=datetime.now(UTC), external_url=url)
    channel = open_channel(found)
    try:
        for message in messages:
            ok, text = _answer(channel, message)
            print_answer(found.name, str(message.payload["status"]), ok, found.redact(text))
            if not ok:
                raise typer.Exit(1)
    finally:
        channel.close()


def _answer(channel: Channel, message: Message) -> tuple[bool, str]:
    now = datetime.now(UTC)
    try:
        receipt = channel.send(replace(message, sent_at=now))
    except DeliveryError as error:
        status, text = error.http_status, str(error)
        ok = False
    except Exception as error:  # a channel's own fault is an answer too, without its secrets
        status, text = None, f"{type(error).__name__}: {error}"
        ok = False
    else:
        status, text = receipt.http_status, receipt.text
        ok = True
    took = (datetime.now(UTC) - now).total_seconds()
    http = f"HTTP {status}, " if status else ""
    return ok, f"{http}{took:.2f} s: {text}"
