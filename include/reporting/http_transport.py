"""Events over HTTP to the monitoring API, delivered in the background."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from include.reporting.http_settings import HttpSettings
from include.reporting.outbox import Outbox
from include.reporting.sender import Counts
from include.reporting.spool import SpoolTransport
from include.reporting.transport import TransportError
from userdb.events import EventRecord

_lock = threading.RLock()
#: Of parent processes: collecting them could close connections that the parent still uses.
_inherited: list[Outbox] = []


class HttpTransport:
    """Queues events, spools them in the background, and posts what is in the spool.

    ``send`` never waits, unless the settings say ``durable`` or the queue is full: then it writes
    the events to the spool itself. A forked process has a queue and threads of its own; what its
    parent had queued stays with the parent.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._spool = SpoolTransport(settings.spool, max_bytes=settings.spool_bytes)
        self._outbox: Outbox | None = None
        self._closed = False

    @property
    def counts(self) -> Counts:
        return self._running().counts

    def send(self, events: Sequence[EventRecord]) -> None:
        """Raises TransportError: the queue is full, and the spool can't be written to."""
        if self._closed:
            # threads end with the interpreter, which may be now: the next process will deliver it
            self._spool.send(events)
            return
        outbox = self._running()
        if self._settings.durable and self._written(outbox, events):
            return
        for at, event in enumerate(events):
            if not outbox.put(event):
                self._write(outbox, events[at:])
                return

    def _written(self, outbox: Outbox, events: Sequence[EventRecord]) -> bool:
        try:
            self._write(outbox, events)
        except TransportError:
            return False  # memory is better than nothing
        return True

    def start(self) -> None:
        """Begin to deliver what an earlier process left in the spool."""
        self._running()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was reported is delivered; false where it is not (yet)."""
        return self._running().flush(timeout_s)

    def close(self) -> None:
        """Deliver what can be delivered in the settings' ``flush_s``; the rest stays spooled.

        What is sent after that is spooled.
        """
        self._closed = True
        outbox = self._outbox
        if outbox is not None and outbox.pid == os.getpid():
            outbox.close()

    def stop(self) -> None:
        """End the threads once they have spooled, and tried to deliver, what there is. Waits not.

        Nothing may be sent after that.
        """
        outbox = self._outbox
        if outbox is not None and outbox.pid == os.getpid():
            outbox.stop()

    def _write(self, outbox: Outbox, events: Sequence[EventRecord]) -> None:
        try:
            self._spool.send(events)
        except TransportError as error:
            # the server may work all the same: the next event is to be tried like this one
            raise TransportError(str(error), permanent=True) from error
        outbox.spooled_elsewhere()

    def _running(self) -> Outbox:
        outbox = self._outbox
        if outbox is not None and outbox.pid == os.getpid():
            return outbox
        with _lock:
            if self._outbox is None or self._outbox.pid != os.getpid():
                if self._outbox is not None:
                    _inherited.append(self._outbox)
                self._outbox = Outbox(self._settings, self._spool)
            return self._outbox


def _new_lock_after_fork() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_new_lock_after_fork)
