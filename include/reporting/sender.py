"""The thread that delivers: from the spool, or from memory where there is no spool, to the API."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from include.reporting.backlog import Backlog, SpooledEvent
from include.reporting.backoff import Backoff
from include.reporting.event_post import EventPost, PostError
from include.reporting.http_settings import HttpSettings
from include.reporting.reporter import keep_quiet
from include.reporting.spool import encode_event
from userdb.events import EventRecord

logger = logging.getLogger("monitoring.reporting")
#: Looks for files that other processes left.
_RESCAN_S = 30.0
#: Looks again at a file that another process holds.
_HELD_ELSEWHERE_S = 0.5
_FLUSH_AGAIN_S = 0.02


@dataclass
class Counts:
    """Events of this process since it began to report; all but ``spooled`` may be of others."""

    spooled: int = 0
    stored: int = 0
    repeated: int = 0
    rejected: int = 0


class End(Enum):
    """How a pass over the spool ended."""

    DONE = "everything is delivered"
    HELD_ELSEWHERE = "another process delivers a part of it"
    FAILED = "something could not be delivered"


class Sender:
    """Posts what is in the spool ``folder``, and what it is lent, until it is stopped."""

    def __init__(self, settings: HttpSettings, folder: Path, counts: Counts) -> None:
        self._settings = settings
        self._folder = folder
        self._counts = counts
        self._post = EventPost(settings)
        self._backlog = Backlog(folder, settings.batch_events)
        self._backoff = Backoff()
        self._passes = _Passes()
        self._work = threading.Event()
        self._work.set()  # what an earlier process left
        self._hurry = threading.Event()
        self._stopped = False
        self._away = False
        self._unreadable = False
        self._look_again_s = _RESCAN_S
        #: Events that could not be spooled, and what is set when they are delivered.
        self.lent: Sequence[EventRecord] = ()
        self._delivered = threading.Event()

    def wake(self) -> None:
        """There is something in the spool."""
        self._work.set()

    def lend(self, events: Sequence[EventRecord]) -> threading.Event:
        """Have ``events`` delivered from memory; returns what is set when they are."""
        self._delivered = threading.Event()
        self.lent = events
        self._work.set()
        return self._delivered

    def take_back(self) -> None:
        """What was lent is safe elsewhere."""
        self.lent = ()
        self._work.set()

    def flush(self, deadline: float) -> bool:
        """Wait for a pass that delivers everything; false where one fails, or at ``deadline``.

        Tries a server that is away at once, unless it asked to be left alone.
        """
        if self._backoff.asked:
            return False
        while (end := self._passes.wait(self._begin, deadline)) is End.HELD_ELSEWHERE:
            time.sleep(max(0.0, min(_FLUSH_AGAIN_S, deadline - time.monotonic())))
        return end is End.DONE

    def stop(self) -> None:
        """End after one more pass."""
        self._stopped = True
        self._begin()

    def run(self) -> None:
        """The work of the thread."""
        keep_quiet()
        last = False
        while not last:
            self._work.wait(self._look_again_s)
            self._work.clear()
            self._hurry.wait(self._backoff.remaining_s())
            self._hurry.clear()
            last = self._stopped
            number = self._passes.begin()
            end = End.FAILED
            try:
                end = self._pass()
                self._backoff.succeeded()
            except PostError as error:
                self._failed(str(error), error.retry_after_s)
            except Exception as error:
                logger.exception("events could not be delivered")
                self._failed(type(error).__name__, None)
            finally:
                self._passes.end(number, end)

    def _begin(self) -> None:
        self._hurry.set()
        self._work.set()

    def _pass(self) -> End:
        try:
            end = End.DONE if self._backlog.pass_on(self._deliver) else End.HELD_ELSEWHERE
            self._unreadable = False
        except OSError as error:
            end = End.FAILED
            if not self._unreadable:
                self._unreadable = True
                logger.error("the spool %s can't be read: %s", self._folder, error)
        self._look_again_s = _HELD_ELSEWHERE_S if end is End.HELD_ELSEWHERE else _RESCAN_S
        lent, delivered = self.lent, self._delivered
        step = self._settings.batch_events
        for at in range(0, len(lent), step):
            self._deliver([SpooledEvent(encode_event(one), one) for one in lent[at : at + step]])
        if lent and self.lent is lent:
            self.lent = ()
            delivered.set()
        return end

    def _deliver(self, batch: Sequence[SpooledEvent]) -> None:
        try:
            answer = self._post([one.event for one in batch])
        except PostError as error:
            if not error.permanent:
                raise
            if len(batch) == 1:
                self._reject(batch[0], str(error))
                return
            # the batch is too large, or one event makes it unreadable: halve until it is alone
            self._deliver(batch[: len(batch) // 2])
            self._deliver(batch[len(batch) // 2 :])
            return
        if self._away:
            self._away = False
            logger.info("events are delivered to %s again", self._settings.endpoint)
        self._counts.stored += answer.stored
        self._counts.repeated += answer.repeated
        for one in answer.rejected:
            self._reject(batch[one.index], one.why)

    def _reject(self, one: SpooledEvent, why: str) -> None:
        self._counts.rejected += 1
        self._backlog.set_aside(one.line, why)

    def _failed(self, why: str, retry_after_s: float | None) -> None:
        self._backoff.failed(retry_after_s)
        self._work.set()
        if not self._away:
            self._away = True
            logger.warning(
                "events can't be delivered to %s, and wait in %s: %s",
                self._settings.endpoint,
                self._folder,
                why,
            )


class _Passes:
    """Which passes have begun, and how the last one ended."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun = 0
        self._ended = 0
        self._end = End.DONE

    def begin(self) -> int:
        with self._changed:
            self._begun += 1
            return self._begun

    def end(self, number: int, end: End) -> None:
        with self._changed:
            self._ended, self._end = number, end
            self._changed.notify_all()

    def wait(self, nudge: Callable[[], None], deadline: float) -> End | None:
        """Wait for the end of a pass that begins after now; None if that takes too long."""
        with self._changed:
            wanted = self._begun + 1
            nudge()
            while self._ended < wanted:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return None
            return self._end
