"""Sending one message: claim it, send it once, record how it went. Nothing is sent inside a
transaction.

A message reaches its receiver at least once. It is sent again only where a process died, or lost
userdb, between sending and recording; and then with the same Idempotency-Key.
"""

from __future__ import annotations

import logging
import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from monitoring.notify import outbox
from monitoring.notify.channels import Channel, Message, open_channel
from monitoring.notify.definition import Receiver
from monitoring.notify.outbox import Attempt, Claim
from userdb.errors import DeliveryError
from userdb.store import Store

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]

#: How long a claim outlives the receiver's time limit: looking a name up may take this long.
LEASE_MARGIN = timedelta(seconds=60)
_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 300.0


@dataclass(frozen=True)
class Sending:
    """How ``send_alert`` went: the delivery's new status, the try, and when the next one is."""

    status: str
    attempt: Attempt
    retry_at: datetime | None


def running_clock(now: datetime) -> Clock:
    """A clock that says ``now`` and goes on from there."""
    started = time.perf_counter()
    return lambda: now + timedelta(seconds=time.perf_counter() - started)


def retry_delay(attempt: int) -> float:
    """Seconds to wait after the failed try ``attempt`` (from 1): 1, 2, 4 … 300.

    Up to half of it is taken off at random, so that those who failed together don't come back
    together.
    """
    full = min(_FIRST_DELAY_S * 2.0 ** min(attempt - 1, 30), _LONGEST_DELAY_S)
    return full * random.uniform(0.5, 1.0)


def send_alert(
    store: Store,
    delivery_id: str,
    receiver: Receiver,
    *,
    now: datetime,
    clock: Clock | None = None,
    channel: Channel | None = None,
) -> Sending | None:
    """Deliver one message: claim it, send it once, record how it went.

    Args:
        clock: where the time is taken from; default: it goes on from ``now``.
        channel: default: one is opened, and closed again.

    Returns:
        None where there is nothing to do: the message is finished, not due yet, held by another
        worker, not this receiver's, or behind another one of its group.

    Raises:
        ConfigError: the receiver's kind is unknown.
        UserdbUnavailable: userdb can't be reached.
    """
    tick = clock or running_clock(now)
    opened = channel or open_channel(receiver)
    try:
        started_at = tick()
        claimed = store.write(
            partial(
                outbox.claim,
                delivery_id=delivery_id,
                receiver=receiver.name,
                worker=f"{os.getpid()}-{uuid.uuid4().hex}",
                now=started_at,
                until=started_at + timedelta(seconds=receiver.timeout_s) + LEASE_MARGIN,
            )
        )
        if claimed is None:
            return None
        attempt, wait_s = _try(opened, receiver, claimed, tick())
        retry_at = _retry_at(attempt, receiver, claimed, wait_s, tick())
        status = store.write(
            partial(outbox.record, claimed=claimed, attempt=attempt, retry_at=retry_at)
        )
    finally:
        if channel is None:
            opened.close()
    _log(receiver, claimed, attempt, status)
    return Sending(status, attempt, retry_at)


def _try(
    channel: Channel, receiver: Receiver, claimed: Claim, at: datetime
) -> tuple[Attempt, float | None]:
    """One try, and how long the receiver asks to be left alone."""
    started = time.perf_counter()

    def ended(outcome: str, http_status: int | None, text: str) -> Attempt:
        return Attempt(at, time.perf_counter() - started, outcome, http_status, text)

    try:
        receipt = channel.send(
            Message(
                claimed.id, claimed.payload, at, claimed.created_at, claimed.kind, claimed.context
            )
        )
    except DeliveryError as error:
        outcome = "permanent" if error.permanent else "retry"
        return ended(outcome, error.http_status, str(error)), error.retry_after_s
    except Exception as error:  # a channel's own fault must not keep the row claimed
        log.exception("receiver %s: its channel failed", receiver.name)
        return ended("retry", None, receiver.redact(f"{type(error).__name__}: {error}")), None
    return ended("sent", receipt.http_status, receipt.text), None


def _retry_at(
    attempt: Attempt, receiver: Receiver, claimed: Claim, wait_s: float | None, now: datetime
) -> datetime | None:
    if attempt.outcome != "retry" or now - claimed.tried_since >= receiver.give_up_after:
        return None
    return now + timedelta(seconds=max(retry_delay(claimed.attempt), wait_s or 0.0))


def _log(receiver: Receiver, claimed: Claim, attempt: Attempt, status: str) -> None:
    text = " ".join(attempt.response.split())[:200]
    answer = f"HTTP {attempt.http_status} {text}" if attempt.http_status else text
    if status == outbox.SENT:
        log.info("receiver %s: %s sent (%s)", receiver.name, claimed.id, answer)
    elif status == outbox.DEAD:
        log.error(
            "receiver %s: %s given up after try %d: %s",
            receiver.name,
            claimed.id,
            claimed.attempt,
            answer,
        )
    else:
        log.warning(
            "receiver %s: try %d of %s failed: %s",
            receiver.name,
            claimed.attempt,
            claimed.id,
            answer,
        )
