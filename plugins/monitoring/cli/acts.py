"""``monitoring alerts ack|unack|comment|assign|resolve|mark``: what operators do about alerts."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from monitoring.cli.options import opened_store
from userdb.errors import AlertError

if TYPE_CHECKING:
    from monitoring.alerts.acts import Action

Ids = Annotated[list[str], typer.Argument(metavar="ID", help="ids, as `alerts list` shows them")]
By = Annotated[str | None, typer.Option("--by", help="who; default: the login name")]
Note = Annotated[str | None, typer.Option("--note", help="why, or what is to be known")]


def ack(ids: Ids, by: By = None, note: Note = None) -> None:
    """Acknowledge: somebody is on it, and escalation stops."""
    _do(ids, "acknowledge", "acknowledged", by, note)


def unack(ids: Ids, by: By = None, note: Note = None) -> None:
    """Take an acknowledgement back."""
    _do(ids, "unacknowledge", "not acknowledged any more", by, note)


def comment(ids: Ids, note: Annotated[str, typer.Option("--note")], by: By = None) -> None:
    """Say something about alerts, those that are over too."""
    _do(ids, "comment", "commented", by, note)


def assign(
    ids: Ids,
    to: Annotated[str | None, typer.Option("--to", help="the person; default: --by")] = None,
    by: By = None,
    note: Note = None,
) -> None:
    """Say who takes care of alerts."""
    author = by or _login_name()
    person = author if to is None else to
    _do(ids, "assign", f"assigned to {person}", author, note, assignee=person)


def resolve(ids: Ids, by: By = None, note: Note = None) -> None:
    """End alerts by hand. They open again only after the condition has been clear once."""
    _do(ids, "resolve", "resolved", by, note)


def mark(
    ids: Ids,
    is_true: Annotated[
        bool, typer.Option("--true-positive/--false-positive", help="was there a problem?")
    ],
    by: By = None,
    note: Note = None,
) -> None:
    """Say whether alerts were right; `monitoring report` counts it. The last word holds."""
    if is_true:
        _do(ids, "true_positive", "marked as true positive", by, note)
    else:
        _do(ids, "false_positive", "marked as false positive", by, note)


def _do(
    ids: list[str],
    action: Action,
    done: str,
    by: str | None,
    note: str | None,
    *,
    assignee: str | None = None,
) -> None:
    """Do it about each alert; one that it can't be done about doesn't stop the others."""
    from monitoring.alerts.acts import act

    author = _login_name() if by is None else by
    refused: list[str] = []
    with opened_store() as store:
        for one in dict.fromkeys(ids):
            now = datetime.now(UTC)
            try:
                about = act(store, one, action, at=now, author=author, note=note, assignee=assignee)
            except AlertError as error:
                refused.append(str(error))
                continue
            for alert in about:
                instead = "" if alert == one else f" (which succeeds {one})"
                typer.echo(f"{alert}{instead}: {done}")
    if refused:
        raise AlertError("\n".join(dict.fromkeys(refused)))


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        raise AlertError("who you are is not known here; say it with --by") from None
