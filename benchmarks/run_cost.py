"""What a piece of work costs, on a machine that others use too: CPU seconds and statements."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event

from userdb.store import Store


@dataclass(frozen=True)
class Cost:
    """Seconds that passed, CPU seconds of this process and of the server, and SQL statements."""

    wall: float
    own: float
    server: float
    statements: float

    @property
    def cpu(self) -> float:
        return self.own + self.server

    def plus(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def since(self, earlier: Cost) -> Cost:
        return Cost(*(a - b for a, b in zip(astuple(self), astuple(earlier), strict=True)))


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each."""
    return Cost(*(statistics.median(column) for column in zip(*map(astuple, costs), strict=True)))


class Meter:
    """Reads what was spent so far.

    Args:
        server: the database server's process; None: it runs in this one.
    """

    def __init__(self, store: Store, server: int | None) -> None:
        self._server = server
        self._statements = 0
        event.listen(store.engine, "before_cursor_execute", self._count)

    def read(self) -> Cost:
        return Cost(
            time.perf_counter(), time.process_time(), self._server_seconds(), self._statements
        )

    def _count(self, *_: Any) -> None:
        self._statements += 1

    def _server_seconds(self) -> float:
        if self._server is None:
            return 0.0
        # proc(5): user and system time are fields 14 and 15; the second one may hold spaces
        fields = Path(f"/proc/{self._server}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
