"""What a spool holds, in the order in which it was reported, to be passed on batch by batch."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from include.reporting.claims import REJECTED, claim_files, locked
from include.reporting.spool import decode_event
from userdb.events import EventRecord

logger = logging.getLogger("monitoring.reporting")
#: Bytes of lines in a batch; a longer line goes alone. A request may have 5 MiB.
_BATCH_BYTES = 1024 * 1024
#: A file of rejected lines that has grown to this takes no more; they are still counted.
_MAX_REJECTED_BYTES = 10 * 1024 * 1024
#: Seconds to wait for the lock of a file: a writer holds it for one write, another process that
#: passes the file on for longer.
_PATIENCE_S = 0.2


@dataclass(frozen=True)
class SpooledEvent:
    """An event, and its line in the spool."""

    line: bytes
    event: EventRecord


class Backlog:
    """Passes a spool's files on, oldest first, and deletes each that was passed on whole.

    Several processes may share a spool: a file is with one of them at a time.
    """

    def __init__(self, folder: Path, batch_events: int) -> None:
        self._folder = folder
        self._batch_events = batch_events
        #: How far this process has come in files that it had to leave, by name.
        self._reached: dict[str, int] = {}
        self._told: set[str] = set()

    def pass_on(self, deliver: Callable[[Sequence[SpooledEvent]], None]) -> bool:
        """Hand everything to ``deliver``; false where another process holds some of it now.

        Raises:
            OSError: the spool can't be read or files not be deleted.
            Exception: what ``deliver`` raises; its batch is handed over again next time.
        """
        complete = True
        for path in claim_files(self._folder):
            with locked(path, patience_s=_PATIENCE_S) as held:
                if not held:
                    complete = complete and not path.exists()
                    continue
                for batch, end in self._batches(path):
                    if batch:
                        deliver(batch)
                    self._reached[path.name] = end
                path.unlink()
                self._reached.pop(path.name, None)
        return complete

    def _batches(self, path: Path) -> Iterator[tuple[list[SpooledEvent], int]]:
        batch: list[SpooledEvent] = []
        size = 0
        with path.open("rb") as file:
            end = file.seek(self._reached.get(path.name, 0))
            for line in file:
                if batch and size + len(line) > _BATCH_BYTES:
                    yield batch, end
                    batch, size = [], 0
                end += len(line)
                try:
                    batch.append(SpooledEvent(line, decode_event(line)))
                except ValueError as error:
                    if line.strip():
                        self.set_aside(line, f"a line of the spool {error}")
                    continue
                size += len(line)
                if len(batch) == self._batch_events:
                    yield batch, end
                    batch, size = [], 0
        yield batch, end

    def set_aside(self, line: bytes, why: str) -> None:
        """Keep a line that will never be taken; each reason is logged once."""
        host = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())[:64] or "host"
        path = self._folder / f"{host}-{os.getpid()}-{datetime.now(UTC):%Y%m%d}{REJECTED}"
        if len(self._told) < 20 and why not in self._told:
            self._told.add(why)
            logger.error("an event is rejected, and kept in %s: %s", path, why)
        try:
            with path.open("ab") as file:
                if file.tell() < _MAX_REJECTED_BYTES:
                    file.write(line)
        except OSError as error:
            logger.error("a rejected event can't be kept in %s: %s", path, error)
