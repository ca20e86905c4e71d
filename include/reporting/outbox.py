"""The two threads of a process that report over HTTP: memory to disk, and disk to the server.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from include.reporting.backlog import Backlog, SpooledEvent
from include.reporting.backoff import Backoff
from include.reporting.event_post import EventPost, PostError
from include.reporting.http_settings import HttpSettings
from include.reporting.reporter import keep_quiet, log_in_full
from include.reporting.spool import SpoolTransport, encode_event
from include.reporting.transport import TransportError
from userdb.events import EventRecord

logger = logging.getLogger("monitoring.reporting")
#: Looks for files that other processes left.
_RESCAN_S = 30.0
#: Between tries to write to a spool that could not be written to.
_SPOOL_AGAIN_S = 1.0
#: Of a file that another process holds.
_HELD_ELSEWHERE_S = 0.5
_FLUSH_AGAIN_S = 0.02
_SPOOL_BATCH = 1000


@dataclass
class Counts:
    """Events of this process since it began to report; ``stored`` may include other processes'."""

    spooled: int = 0
    stored: int = 0
    repeated: int = 0
    rejected: int = 0


class Outbox:
    """Takes events without waiting; its threads begin with it and end with the process."""

    def __init__(self, settings: HttpSettings, spool: SpoolTransport) -> None:
        self.pid = os.getpid()
        self.counts = Counts()
        self._settings = settings
        self._spool = spool
        self._backlog = Backlog(spool.folder, settings.batch_events)
        # its put() is reentrant: a signal handler may report while this thread reports
        self._queue: queue.SimpleQueue[EventRecord | threading.Event | None] = queue.SimpleQueue()
        self._work = threading.Event()
        self._work.set()  # what an earlier process left
        self._hurry = threading.Event()
        self._unspooled: Sequence[EventRecord] = ()
        self._taken = threading.Event()
        self._passes = _Passes()
        self._backoff = Backoff()
        self._look_again_s = _RESCAN_S
        self._away = False
        self._unreadable = False
        self._stopped = False
        for work in (self._spool_forever, self._send_forever):
            threading.Thread(target=work, name=f"monitoring{work.__name__}", daemon=True).start()

    def put(self, event: EventRecord) -> bool:
        """Take the event; false where the queue is full. Never waits."""
        if self._queue.qsize() >= self._settings.queue_size:
            return False
        self._queue.put(event)
        return True

    def spooled_elsewhere(self) -> None:
        """Tell the sender that somebody else has written to the spool."""
        self._work.set()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was reported before is delivered; false where it is not.

        Doesn't wait on for a server that can't be reached, or that asked to be left alone.
        """
        deadline = time.monotonic() + timeout_s
        spooled = threading.Event()
        self._queue.put(spooled)
        if not spooled.wait(timeout_s) or self._backoff.asked:
            return False
        while (end := self._passes.wait(self._begin_pass, deadline)) is End.HELD_ELSEWHERE:
            time.sleep(max(0.0, min(_FLUSH_AGAIN_S, deadline - time.monotonic())))
        return end is End.DONE

    def close(self) -> None:
        """Flush with the settings' time limit; what is then only in memory is logged in full."""
        self.flush(self._settings.flush_s)
        left = list(self._unspooled)
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

    # --- memory to disk ---

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
        self._begin_pass()

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
            logger.error("%s: events wait in memory, and are lost if this process ends", error)
            self._hand_over(events)
        else:
            self.counts.spooled += len(events)
            self._work.set()

    def _hand_over(self, events: Sequence[EventRecord]) -> None:
        """Let the sender take ``events`` from memory, unless the spool works again first."""
        self._taken.clear()
        self._unspooled = events
        self._work.set()
        while not self._taken.wait(_SPOOL_AGAIN_S):
            try:
                self._spool.send(events)
            except TransportError:
                continue
            self._unspooled = ()
            self.counts.spooled += len(events)
            self._work.set()
            return

    # --- disk to the server ---

    def _send_forever(self) -> None:
        keep_quiet()
        post = EventPost(self._settings)

        def deliver(batch: Sequence[SpooledEvent]) -> None:
            try:
                answer = post([one.event for one in batch])
            except PostError as error:
                if not error.permanent:
                    raise
                # the batch is too large, or one event makes it unreadable: halve until it is alone
                if len(batch) > 1:
                    deliver(batch[: len(batch) // 2])
                    deliver(batch[len(batch) // 2 :])
                    return
                self._reject(batch[0], str(error))
                return
            self._arrived()
            self.counts.stored += answer.stored
            self.counts.repeated += answer.repeated
            for one in answer.rejected:
                self._reject(batch[one.index], f"{one.field}: {one.message}")

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
                end = self._send_all(deliver)
                self._backoff.succeeded()
            except PostError as error:
                self._failed(str(error), error.retry_after_s)
            except Exception as error:
                logger.exception("events could not be delivered")
                self._failed(type(error).__name__, None)
            finally:
                self._passes.end(number, end)

    def _send_all(self, deliver: Callable[[Sequence[SpooledEvent]], None]) -> End:
        try:
            end = End.DONE if self._backlog.pass_on(deliver) else End.HELD_ELSEWHERE
            self._unreadable = False
        except OSError as error:
            end = End.FAILED
            if not self._unreadable:
                self._unreadable = True
                logger.error("the spool %s can't be read: %s", self._spool.folder, error)
        self._look_again_s = _HELD_ELSEWHERE_S if end is End.HELD_ELSEWHERE else _RESCAN_S
        held = self._unspooled
        step = self._settings.batch_events
        for at in range(0, len(held), step):
            deliver([SpooledEvent(encode_event(one), one) for one in held[at : at + step]])
        if held and self._unspooled is held:
            self._unspooled = ()
            self._taken.set()
        return end

    def _reject(self, one: SpooledEvent, why: str) -> None:
        self.counts.rejected += 1
        self._backlog.set_aside(one.line, why)

    def _failed(self, why: str, retry_after_s: float | None) -> None:
        self._backoff.failed(retry_after_s)
        self._work.set()
        if not self._away:
            self._away = True
            logger.warning(
                "events can't be delivered to %s, and wait in %s: %s",
                self._settings.endpoint,
                self._spool.folder,
                why,
            )

    def _arrived(self) -> None:
        if self._away:
            self._away = False
            logger.info("events are delivered to %s again", self._settings.endpoint)

    def _begin_pass(self) -> None:
        self._hurry.set()
        self._work.set()


class End(Enum):
    """How a pass of the sender over the spool ended."""

    DONE = "everything is delivered"
    HELD_ELSEWHERE = "another process delivers a part of it"
    FAILED = "something could not be delivered"


class _Passes:
    """Which of the sender's passes have begun, and how the last one ended."""

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
