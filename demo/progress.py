"""What the demo says while it runs: lines with the time since its start, and, on a terminal, one
live line for what it waits for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import IO, cast

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

#: Wide enough for the tables where there is no terminal to ask.
_PLAIN_WIDTH = 120


def make_console() -> Console:
    """A console for a terminal, or for a plain log of a fixed width."""
    if isinstance(sys.stdout, TextIOWrapper):
        # a sign that a terminal can't show must not end the demo
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False)
    if not console.is_terminal:
        return Console(highlight=False, width=_PLAIN_WIDTH, file=cast(IO[str], _Trimmed()))
    return console


class _Trimmed:
    """Standard output without the blanks that fill tables' lines; each line at once."""

    def __init__(self) -> None:
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            sys.stdout.write(line.rstrip() + "\n")
        sys.stdout.flush()
        return len(text)

    def flush(self) -> None:
        sys.stdout.flush()


class Progress:
    """Prints what happens, as it happens; from any thread."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()
        self._status: Status | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def say(self, topic: str, text: str, style: str = "cyan") -> None:
        """A line: time, topic and text, which may be longer than a line."""
        minutes, seconds = divmod(int(self.elapsed), 60)
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_column(width=6, justify="right", style="dim")
        line.add_column(width=10, style=style)
        line.add_column(overflow="fold")
        line.add_row(f"{minutes}:{seconds:02d}", topic, text)
        self.console.print(line)

    def without(self, topic: str, text: str) -> None:
        """A line about something that the demo does without."""
        self.say(topic, escape(text), "yellow")

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show ``text`` with a spinner meanwhile; nothing where there is no terminal."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(text, spinner="dots") as status:
            self._status = status
            try:
                yield
            finally:
                self._status = None

    def update(self, text: str) -> None:
        """Change the text of the spinner."""
        if self._status is not None:
            self._status.update(text)
