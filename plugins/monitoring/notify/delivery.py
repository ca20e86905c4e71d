"""Delivery: work the outbox for as long as there is time.

Receivers are worked side by side, each by a thread of its own, so none waits for another.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from monitoring.log_context import in_this_context
from monitoring.notify import outbox
from monitoring.notify.channels import Channel, open_channel
from monitoring.notify.definition import Receiver
from monitoring.notify.receiver_file import configured_receivers
from monitoring.notify.sending import Clock, Sending, running_clock, send_alert
from userdb.errors import ConfigError
from userdb.store import Store

log = logging.getLogger(__name__)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class DeliveryReport:
    """What one call to ``deliver`` did.

    Attributes:
        sent: messages taken by their receivers.
        dead: messages given up: refused for good, or undeliverable for too long.
        failed_attempts: tries that failed, those of messages that were sent later included.
        pending: messages that are still to be delivered, now or at a later time.
        errors: receiver → why it could not be worked, or its last failure.
    """

    sent: int = 0
    dead: int = 0
    failed_attempts: int = 0
    pending: int = 0
    errors: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def deliver(
    store: Store,
    *,
    now: datetime,
    receivers: Sequence[Receiver] | None = None,
    deadline_s: float = 60.0,
    clock: Clock | None = None,
    on_progress: Progress | None = None,
) -> DeliveryReport:
    """Deliver what is due, and what becomes due, for ``deadline_s`` seconds.

    No try begins after that; one that has begun takes at most the receiver's time limit. What is
    left stays in the outbox for the next call.

    Args:
        receivers: default: the configured ones.
        clock: where the time is taken from; default: it goes on from ``now``.
        on_progress: called with a line of text after each try, by several threads.
    """
    errors: dict[str, str] = {}
    if receivers is None:
        loaded = configured_receivers()
        receivers = loaded.usable
        errors |= loaded.errors
    tick = clock or running_clock(now)
    until = tick() + timedelta(seconds=deadline_s)
    names = [one.name for one in receivers]
    with store.read() as connection:
        waiting = outbox.unfinished(connection, names)
    workers = [
        _Worker(store, one, tick, until, on_progress) for one in receivers if one.name in waiting
    ]
    if workers:
        # a thread each: a pool of fewer would let the first who hang delay the last
        with ThreadPoolExecutor(len(workers), thread_name_prefix="notify") as pool:
            for worker in workers:
                pool.submit(in_this_context(worker.run))
        with store.read() as connection:
            waiting = outbox.unfinished(connection, names)
    errors |= {worker.receiver.name: worker.error for worker in workers if worker.error}
    return DeliveryReport(
        sent=sum(worker.sent for worker in workers),
        dead=sum(worker.dead for worker in workers),
        failed_attempts=sum(worker.failed for worker in workers),
        pending=sum(waiting.values()),
        errors=errors,
    )


class _Worker:
    """Works one receiver's part of the outbox."""

    def __init__(
        self,
        store: Store,
        receiver: Receiver,
        clock: Clock,
        until: datetime,
        on_progress: Progress | None,
    ) -> None:
        self.receiver = receiver
        self.sent = self.dead = self.failed = 0
        self.error = ""
        self._store = store
        self._clock = clock
        self._until = until
        self._on_progress = on_progress
        self._idle = threading.Event()

    def run(self) -> None:
        """Work until nothing is due in time. An error ends it and is kept in ``error``."""
        try:
            channel = open_channel(self.receiver)
            try:
                self._work(channel)
            finally:
                channel.close()
        except ConfigError as error:
            self.error = str(error)
        except Exception as error:
            log.exception("receiver %s: its worker failed", self.receiver.name)
            self.error = self.receiver.redact(f"{type(error).__name__}: {error}")

    def _work(self, channel: Channel) -> None:
        quiet_until: datetime | None = None
        while True:
            with self._store.read() as connection:
                found = outbox.next_due(connection, self.receiver.name)
            if found is None:
                return
            delivery_id, due_at = found
            if quiet_until is not None:
                due_at = max(due_at, quiet_until)
            now = self._clock()
            if max(due_at, now) >= self._until:
                return
            if due_at > now:
                self._idle.wait(min((due_at - now).total_seconds(), 1.0))
                continue
            done = send_alert(
                self._store,
                delivery_id,
                self.receiver,
                now=now,
                clock=self._clock,
                channel=channel,
            )
            if done is None:
                self._idle.wait(0.05)  # another worker was faster
                continue
            quiet_until = self._count(done)

    def _count(self, done: Sending) -> datetime | None:
        """Count a try; returns until when the receiver is to be left alone."""
        status = done.attempt.http_status
        if self._on_progress is not None:
            self._on_progress(f"{self.receiver.name}: {done.status} (HTTP {status or '-'})")
        if done.attempt.outcome == "sent":
            self.sent += 1
            self.error = ""
            return None
        self.failed += 1
        self.dead += done.status == outbox.DEAD
        text = " ".join(done.attempt.response.split())[:200]
        self.error = f"HTTP {status} {text}".strip() if status else text
        # one that doesn't answer, or asks for time, would not take its other messages either
        return done.retry_at if status in (None, 429, 503) else None
