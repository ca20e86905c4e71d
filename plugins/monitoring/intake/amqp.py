"""Events out of an AMQP queue: acknowledged after the commit, what is wrong set aside.

A message holds one event, an array or lines of JSON. Messages are taken in batches, which are
stored together. One of which nothing or not all can be stored goes to the dead-letter queue, with
the reason in its header ``x-monitoring-error``; its events that are right are stored.

A message is delivered again where the connection or the process ended before the acknowledgement:
its events have their ids, or get them of their content or of the message's id, and are known.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from amqp.exceptions import NotFound
from kombu import Connection, Consumer, Message, Producer, Queue

from monitoring.intake.accept import Receipt, accept_events
from monitoring.intake.bounds import Bounds
from monitoring.intake.documents import read_document
from monitoring.intake.identity import ContentIds, canonical
from userdb.errors import CollectionError, ConfigError, InvalidRequestError, UserdbUnavailable
from userdb.store import Store

log = logging.getLogger(__name__)

#: Source of events that name none.
SOURCE = "amqp"
#: Header of a dead letter that says why it is one.
ERROR_HEADER = "x-monitoring-error"
#: Messages that are held unacknowledged, and stored together.
BATCH = 200
#: How long a batch waits for more messages.
_LINGER_S = 0.1
#: How long one wait for a message lasts, and so how long a stop may take.
_POLL_S = 0.5
_LONGEST_PAUSE_S = 30.0
_MAX_REASON = 1000


@dataclass
class Consumed:
    """What was taken so far; ``dead`` are messages."""

    messages: int = 0
    stored: int = 0
    repeated: int = 0
    rejected: int = 0
    dead: int = 0


@dataclass
class AmqpConsumer:
    """Takes events from ``queue`` of the server at ``url`` until ``stop``.

    Attributes:
        dead_letters: the queue for messages that can't be stored; default ``<queue>.dead``.
        clock: gives now, aware.
        taken: is told of what each batch gave.
    """

    url: str
    queue: str
    store: Store
    bounds: Bounds
    clock: Callable[[], datetime]
    dead_letters: str = ""
    taken: Callable[[Receipt], None] = lambda _receipt: None
    counts: Consumed = field(default_factory=Consumed)
    _stopping: bool = False

    def __post_init__(self) -> None:
        self.dead_letters = self.dead_letters or f"{self.queue}.dead"
        self._server = _server(self.url)

    def stop(self) -> None:
        """Stop after the batch that is being stored. Safe to call from a signal's handler."""
        self._stopping = True

    def run(self) -> Consumed:
        """Take events until ``stop``; a server that goes away is waited for.

        Raises:
            CollectionError: the server can't be reached at the start, or refuses.
        """
        pause = 0.0
        connected = False
        lost = (*self._server.connection_errors, *self._server.channel_errors)
        while not self._stopping:
            try:
                with self._server.clone() as connection:
                    connection.connect()
                    connected, pause = True, 0.0
                    self._consume(connection)
            except lost as error:
                if not connected:
                    where = self._server.as_uri()  # without the password
                    raise CollectionError(
                        f"the AMQP server at {where} can't be used: {error}"
                    ) from None
                pause = min(2 * pause + 0.5, _LONGEST_PAUSE_S)
                log.warning("lost the AMQP server (%s); trying again in %.1f s", error, pause)
                self._wait(pause)
        return self.counts

    def _consume(self, connection: Connection) -> None:
        channel = connection.default_channel
        # a queue that is there is taken as it is, whatever its arguments
        _declare(connection, self.queue)
        _declare(connection, self.dead_letters)
        channel.basic_qos(0, BATCH, False)
        producer = Producer(channel)
        batch: list[Message] = []
        queue = Queue(self.queue, no_declare=True)
        consumer = Consumer(
            channel, [queue], on_message=batch.append, accept=None, auto_declare=False
        )
        with consumer:
            while not self._stopping:
                self._fill(connection, batch)
                if batch:
                    self._store(connection, producer, batch)
                    batch.clear()

    def _fill(self, connection: Connection, batch: list[Message]) -> None:
        """Wait for messages: for the first until there is one, for more no longer than a moment."""
        give_up = time.monotonic() + _POLL_S
        while len(batch) < BATCH and (left := give_up - time.monotonic()) > 0:
            try:
                connection.drain_events(timeout=left)
            except TimeoutError:
                break
            if len(batch) == 1:
                give_up = min(give_up, time.monotonic() + _LINGER_S)
        connection.heartbeat_check()

    def _store(self, connection: Connection, producer: Producer, batch: Sequence[Message]) -> None:
        sent: list[Any] = []
        owners: list[int] = []
        reasons: dict[int, str] = {}
        for number, message in enumerate(batch):
            try:
                found = _events_of(message)
            except InvalidRequestError as error:
                reasons[number] = str(error)
                continue
            sent += found
            owners += [number] * len(found)
        receipt = self._accepted(connection, sent)
        if receipt is None:
            return  # stopped while userdb was away: unacknowledged, they are delivered again
        for one in receipt.rejected:
            reasons.setdefault(owners[one.index], f"event {one.index}: {one.message}")
        for number, message in enumerate(batch):
            if number in reasons:
                self._bury(producer, message, reasons[number])
            message.ack()
        self.counts.messages += len(batch)
        self.counts.stored += receipt.stored
        self.counts.repeated += receipt.repeated
        self.counts.rejected += len(receipt.rejected)
        self.counts.dead += len(reasons)
        self.taken(receipt)

    def _accepted(self, connection: Connection, sent: Sequence[Any]) -> Receipt | None:
        """What was stored; waits for a userdb that is away. None where it is stopped meanwhile."""
        pause = 0.0
        while True:
            try:
                return accept_events(
                    self.store, sent, now=self.clock(), bounds=self.bounds, source=SOURCE
                )
            except UserdbUnavailable as error:
                pause = min(2 * pause + 0.5, _LONGEST_PAUSE_S)
                log.warning("%s Trying again in %.1f s.", error, pause)
                self._wait(pause, connection)
                if self._stopping:
                    return None

    def _wait(self, seconds: float, connection: Connection | None = None) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_S))
            if connection is not None:
                connection.heartbeat_check()

    def _bury(self, producer: Producer, message: Message, reason: str) -> None:
        # published and not rejected: the queue may be anybody's, without a dead-letter exchange,
        # and the reason is worth keeping
        producer.publish(
            message.body,
            exchange="",
            routing_key=self.dead_letters,
            content_type=message.content_type or "application/octet-stream",
            content_encoding=message.content_encoding or "binary",
            headers={**(message.headers or {}), ERROR_HEADER: reason[:_MAX_REASON]},
            delivery_mode=2,
        )
        log.warning("a message was moved to %s: %s", self.dead_letters, reason)


def _server(url: str) -> Connection:
    """The server at ``url``, not connected to yet.

    Raises:
        ConfigError: the URL is not one of AMQP.
    """
    if not url.startswith(("amqp://", "amqps://")):
        raise ConfigError("the AMQP server's URL must begin with amqp:// or amqps://")
    try:
        return Connection(
            url,
            connect_timeout=10,
            heartbeat=30,
            # a dead letter is safe in its queue before its message is acknowledged
            transport_options={"confirm_publish": True},
        )
    except ValueError as error:
        raise ConfigError(f"the AMQP server's URL is not valid: {error}") from None


def _declare(connection: Connection, name: str) -> None:
    """Make the queue ``name`` unless there is one; that is taken as it is."""
    with connection.channel() as asking:
        try:
            asking.queue_declare(name, passive=True)
            return
        except NotFound:
            pass  # closes the channel
    with connection.channel() as making:
        making.queue_declare(name, durable=True, auto_delete=False)


def _events_of(message: Message) -> list[Any]:
    """The events in a message.

    Those without a time get the message's, those without an id one of the message's id, or of
    their content where that has a time.

    Raises:
        InvalidRequestError: there are none in it that can be read.
    """
    body = message.body
    found = read_document(body.encode() if isinstance(body, str) else bytes(body))
    mark = message.properties.get("message_id")
    sent_at = _time(message.properties.get("timestamp"))
    ids = ContentIds()
    return [_completed(one, mark, sent_at, ids) if isinstance(one, dict) else one for one in found]


def _completed(
    one: dict[str, Any], mark: Any, sent_at: str | None, ids: ContentIds
) -> dict[str, Any]:
    given = {name: value for name, value in one.items() if value is not None}
    if sent_at is not None:
        given.setdefault("occurred_at", sent_at)
    if mark:
        given.setdefault("event_id", ids.of(f"{SOURCE} {mark}".encode()))
    elif "occurred_at" in given:
        given.setdefault("event_id", ids.of(canonical(given)))
    return given


def _time(value: Any) -> str | None:
    if isinstance(value, int):
        value = datetime.fromtimestamp(value, UTC)
    if not isinstance(value, datetime):
        return None
    return (value.replace(tzinfo=UTC) if value.tzinfo is None else value).isoformat()
