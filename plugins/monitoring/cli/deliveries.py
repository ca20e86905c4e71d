"""``monitoring deliveries``: the outbox, its tries, and dead letters sent again."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from monitoring.cli.options import Format, is_json, opened_store
from userdb.errors import MonitoringError

if TYPE_CHECKING:
    from monitoring.notify.deliveries import DeliveryRow
    from userdb.store import Store

deliveries = typer.Typer(help="Messages to receivers, and every try.", no_args_is_help=True)

ReceiverName = Annotated[str | None, typer.Option("--receiver", help="of one receiver")]


@deliveries.command("list")
def deliveries_list(
    status: Annotated[str | None, typer.Option(help="pending, sending, sent or dead")] = None,
    receiver: ReceiverName = None,
    limit: Annotated[int, typer.Option(min=1)] = 100,
    format_: Format = "table",
) -> None:
    """Messages, newest first; ``--status dead`` are the dead letters."""
    from monitoring.cli.delivery_output import print_deliveries
    from monitoring.cli.output import print_json
    from monitoring.notify.deliveries import STATUSES, list_deliveries

    as_json = is_json(format_)
    if status is not None and status not in STATUSES:
        raise typer.BadParameter(f"{status!r} is not a status; choose {', '.join(STATUSES)}")
    with opened_store() as store, store.read() as connection:
        rows = list_deliveries(connection, status=status, receiver=receiver, limit=limit)
    print_json(rows) if as_json else print_deliveries(rows)


@deliveries.command("show")
def deliveries_show(delivery_id: str, format_: Format = "table") -> None:
    """One message: what it says, and every try."""
    from monitoring.cli.delivery_output import print_delivery
    from monitoring.cli.output import print_json
    from monitoring.notify.deliveries import list_attempts, list_deliveries, read_payload

    as_json = is_json(format_)
    with opened_store() as store, store.read() as connection:
        payload = read_payload(connection, delivery_id)
        if payload is None:
            raise _unknown(delivery_id)
        (row,) = list_deliveries(connection, ids=[delivery_id])
        attempts = list_attempts(connection, delivery_id)
    if as_json:
        print_json({"delivery": row, "attempts": attempts, "payload": payload})
    else:
        print_delivery(row, attempts, payload)


@deliveries.command("resend")
def deliveries_resend(
    ids: Annotated[list[str] | None, typer.Argument(help="ids of dead letters")] = None,
    all_dead: Annotated[
        bool, typer.Option("--all-dead", help="all of them, but those overtaken")
    ] = False,
    receiver: ReceiverName = None,
) -> None:
    """Send dead letters again, each with the Idempotency-Key it had; one that fails is then tried
    like a new message. With --all-dead those are left out whose group has had a later message
    since: the receiver knows more than they say."""
    if bool(ids) == all_dead:
        raise typer.BadParameter("give either ids or --all-dead")
    with opened_store() as store:
        rows = _dead(store, ids, receiver)
        if not _resend(store, rows):
            raise typer.Exit(1)


def _dead(store: Store, ids: list[str] | None, receiver: str | None) -> list[DeliveryRow]:
    """The dead letters that are meant, oldest first."""
    from monitoring.cli.output import console
    from monitoring.notify.deliveries import list_deliveries

    with store.read() as connection:
        found = list_deliveries(
            connection, status=None if ids else "dead", receiver=receiver, ids=ids
        )
    found.reverse()
    if ids:
        known = {row.id: row for row in found}
        for delivery_id in ids:
            if delivery_id not in known:
                raise _unknown(delivery_id)
            if known[delivery_id].status != "dead":
                raise MonitoringError(
                    f"delivery {delivery_id} is {known[delivery_id].status}; only dead ones are "
                    "sent again"
                )
        return found
    overtaken = [row.id for row in found if row.overtaken]
    if overtaken:
        console.print(
            f"{len(overtaken)} left out, as a later message of their group was sent; to send them "
            f"all the same: monitoring deliveries resend {' '.join(overtaken)}",
            highlight=False,
            soft_wrap=True,
        )
    return [row for row in found if not row.overtaken]


def _resend(store: Store, rows: list[DeliveryRow]) -> bool:
    """Bring each back and try it once; whether all were sent."""
    from monitoring.cli.delivery_output import print_answer
    from monitoring.cli.output import console
    from monitoring.notify.outbox import resend
    from monitoring.notify.receiver_file import configured_receivers
    from monitoring.notify.sending import send_alert

    if not rows:
        console.print("no dead letters to send again", highlight=False)
        return True
    loaded = configured_receivers()
    receivers = {one.name: one for one in loaded.usable}
    all_sent = True
    for row in rows:
        target = receivers.get(row.receiver)
        if target is None:
            why = loaded.errors.get(row.receiver, "it is not configured")
            print_answer(row.receiver, row.id, False, f"receiver can't be used: {why}")
            all_sent = False
            continue
        now = datetime.now(UTC)
        if not store.write(partial(resend, delivery_id=row.id, now=now)):
            print_answer(row.receiver, row.id, True, "somebody else sends it again")
            continue
        done = send_alert(store, row.id, target, now=now)
        if done is None:  # an upkeep was faster, or an earlier message of its group goes first
            print_answer(row.receiver, row.id, True, "waits in the outbox; upkeep sends it")
            continue
        status = done.attempt.http_status
        http = f"HTTP {status} " if status else ""
        text = f"{done.status}: {http}{done.attempt.response}"
        print_answer(row.receiver, row.id, done.status == "sent", text)
        all_sent &= done.status == "sent"
    return all_sent


def _unknown(delivery_id: str) -> MonitoringError:
    return MonitoringError(
        f"there is no delivery {delivery_id}; `monitoring deliveries list` shows those there are"
    )
