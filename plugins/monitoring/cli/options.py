"""What the commands have in common: their options, and opening userdb."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from monitoring.window import Window, parse_time, refuse_future

if TYPE_CHECKING:
    from userdb.store import Store

log = logging.getLogger(__name__)

From = Annotated[str, typer.Option("--from", help="start, RFC 3339, inclusive")]
To = Annotated[str, typer.Option("--to", help="end, RFC 3339, exclusive")]
Notify = Annotated[bool, typer.Option("--notify", help="tell receivers what changed")]
Format = Annotated[str, typer.Option("--format", help="table or json")]
Since = Annotated[str | None, typer.Option("--from", help="leave out what ended before")]
Until = Annotated[str | None, typer.Option("--to", help="leave out what began then or later")]
PolicyName = Annotated[str | None, typer.Option("--policy", help="of one policy")]


@contextmanager
def opened_store() -> Iterator[Store]:
    """userdb, where its schema is the code's; closed at the end."""
    from userdb.migrate import opened_current

    with opened_current() as store:
        yield store


def note(what: object) -> None:
    """Say something besides a command's result: on stderr, as a log line where these are JSON."""
    from monitoring.log_format import writes_json

    if writes_json():
        log.warning(str(what))
    else:
        print(what, file=sys.stderr)


def parse_window(start: str, end: str) -> tuple[Window, datetime]:
    """The window of --from and --to, and now, after which it doesn't end."""
    now = datetime.now(UTC)
    window = Window(parse_time(start, "--from"), parse_time(end, "--to"))
    refuse_future(window, now)
    return window, now


def is_json(name: str) -> bool:
    """Whether --format asks for JSON and not for a table."""
    if name not in ("table", "json"):
        raise typer.BadParameter(f"{name!r} is not a format; choose table or json")
    return name == "json"
