"""The two threads of a process that reports over HTTP: memory to disk, and disk to the server.

    report → queue → spooler → spool → sender → POST /api/v1/events

All events take this one way, so they stay in order, a server that is away or hangs costs callers
nothing, and a process that is killed loses only what it had not spooled yet: what was reported in
the last milliseconds. Where the spool can't be written to, the sender takes events from memory.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Sequence

from include.reporting.http_settings import HttpSettings
from include.reporting.reporter import keep_quiet, log_in_full
from include.reporting.sender import Counts, Sender
from include.reporting.spool import SpoolTransport
from include.reporting.transport import TransportError
from userdb.events import EventRecord

logger = logging.getLogger("monitoring.reporting")
#: Between tries to write to a spool that could not be written to.
_SPOOL_AGAIN_S = 1.0
_SPOOL_BATCH = 1000


class Outbox:
    """Takes events without waiting; its threads begin with it and end with the process."""

    def __init__(self, settings: HttpSettings, spool: SpoolTransport) -> None:
        self.pid = os.getpid()
        self.counts = Counts()
        self._settings = settings
        self._spool = spool
        # its put() is reentrant: a signal handler may report while this thread reports
        self._queue: queue.SimpleQueue[EventRecord | threading.Event | None] = queue.SimpleQueue()
        self._stopped = False
        self._unspooled = False
        self._sender = Sender(settings, spool.folder, self.counts)
        for name, work in (("spool", self._spool_forever), ("send", self._sender.run)):
            threading.Thread(target=work, name=f"monitoring-{name}", daemon=True).start()

    def put(self, event: EventRecord) -> bool:
        """Take the event; false where the queue is full. Never waits."""
        if self._queue.qsize() >= self._settings.queue_size:
            return False
        self._queue.put(event)
        return True

    def spooled_elsewhere(self) -> None:
        """Tell the sender that somebody else has written to the spool."""
        self._sender.wake()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was reported before is delivered; false where it is not.

        Doesn't wait on for a server that can't be reached, or that asked to be left alone.
        """
        deadline = time.monotonic() + timeout_s
        spooled = threading.Event()
        self._queue.put(spooled)
        return spooled.wait(timeout_s) and self._sender.flush(deadline)

    def close(self) -> None:
        """Flush with the settings' time limit; what is then only in memory is logged in full."""
        self.flush(self._settings.flush_s)
        left = list(self._sender.lent)
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if isinstance(item, EventRecord):
                left.append(item)
        try:
            if left:
                self._spool.send(left)
        except TransportError:
            for event in left:
                log_in_full(event)

    def stop(self) -> None:
        """Let both threads end after what they have; doesn't wait for them."""
        self._queue.put(None)

    def _spool_forever(self) -> None:
        keep_quiet()
        while not self._stopped:
            events, marks = self._next_batch()
            try:
                if events:
                    self._to_spool(events)
            except Exception:
                logger.exception("%d events could not be spooled", len(events))
            for mark in marks:
                mark.set()
        self._sender.stop()

    def _next_batch(self) -> tuple[list[EventRecord], list[threading.Event]]:
        events: list[EventRecord] = []
        marks: list[threading.Event] = []
        item = self._queue.get()
        while True:
            if isinstance(item, EventRecord):
                events.append(item)
            elif item is None:
                self._stopped = True
            else:
                marks.append(item)
            if self._stopped or len(events) == _SPOOL_BATCH:
                return events, marks
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return events, marks

    def _to_spool(self, events: Sequence[EventRecord]) -> None:
        try:
            self._spool.send(events)
        except TransportError as error:
            if not self._unspooled:
                self._unspooled = True
                logger.error("%s: events wait in memory, and are lost if this process ends", error)
            self._through_memory(events)
        else:
            self._unspooled = False
            self.counts.spooled += len(events)
            self._sender.wake()

    def _through_memory(self, events: Sequence[EventRecord]) -> None:
        """Let the sender deliver ``events`` from memory, unless the spool works again first."""
        delivered = self._sender.lend(events)
        while not delivered.wait(_SPOOL_AGAIN_S):
            try:
                self._spool.send(events)
            except TransportError:
                continue
            self.counts.spooled += len(events)
            self._sender.take_back()
            return
