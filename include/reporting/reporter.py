"""The chain of transports: the first that works takes the event."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from include.reporting.spool import encode_event
from include.reporting.transport import Transport, TransportError
from userdb.events import EventRecord

logger = logging.getLogger("monitoring.reporting")
_inside = threading.local()


def is_reporting() -> bool:
    """Whether this thread is in a report: what is logged meanwhile must not be reported."""
    return getattr(_inside, "depth", 0) > 0


def keep_quiet() -> None:
    """Say that this thread does nothing but report: nothing that it logs must be reported."""
    _inside.depth = 1


def log_in_full(event: EventRecord) -> None:
    """The last resort: an event that can be kept nowhere else."""
    logger.error("an event is kept nowhere but here: %s", encode_event(event).decode().strip())


class Reporter:
    """Gives each event to the first transport that takes it; the last one is the fallback.

    A transport that failed is left alone for ``pause_s`` seconds, so that a reporter doesn't wait
    for the same time-out at each event. An event that nobody takes is logged in full.
    """

    def __init__(self, transports: Sequence[Transport], *, pause_s: float = 10.0) -> None:
        self._transports = tuple(transports)
        self._pause_s = pause_s
        self._paused_until = [0.0] * len(self._transports)

    def report(self, event: EventRecord) -> None:
        """Pass the event on. Never raises."""
        _inside.depth = getattr(_inside, "depth", 0) + 1
        try:
            self._report(event)
        except Exception:
            logger.exception("the event %s could not be reported", event.event_id)
        finally:
            _inside.depth -= 1

    def _report(self, event: EventRecord) -> None:
        last = len(self._transports) - 1
        for index, transport in enumerate(self._transports):
            if index != last and time.monotonic() < self._paused_until[index]:
                continue
            try:
                transport.send([event])
                return
            except Exception as error:
                if not (isinstance(error, TransportError) and error.permanent):
                    self._paused_until[index] = time.monotonic() + self._pause_s
                logger.warning("%s: %s", type(transport).__name__, error)
        log_in_full(event)
