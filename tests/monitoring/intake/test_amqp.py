"""Events out of a real RabbitMQ: acknowledged when stored, and not before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import amqp
import pytest
from kombu import Connection, Message
from monitoring.intake import Bounds
from monitoring.intake.amqp import ERROR_HEADER, AmqpConsumer
from sqlalchemy import select, text

from tests.servers.rabbitmq import RabbitServer
from userdb.errors import CollectionError, ConfigError, UserdbUnavailable
from userdb.models import MonitorEvent
from userdb.store import Store

NOW = "2026-03-01T10:00:00+00:00"


class Broker:
    """What a test puts into its own queue, and finds in it."""

    def __init__(self, server: RabbitServer, connection: Connection) -> None:
        self.url = server.url
        self.server = server
        self.queue = f"events-{uuid4().hex[:8]}"
        self._channel = connection.channel()

    def put(self, body: Any, **properties: Any) -> None:
        self._channel.queue_declare(self.queue, durable=True, auto_delete=False)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._channel.basic_publish(amqp.Message(data, **properties), routing_key=self.queue)

    def ready(self, suffix: str = "") -> int:
        """Messages in the queue that nobody holds."""
        count: int = self._channel.queue_declare(self.queue + suffix, passive=True).message_count
        return count

    def take_dead(self) -> Any:
        return self._channel.basic_get(f"{self.queue}.dead", no_ack=True)


@pytest.fixture
def broker(rabbit: RabbitServer) -> Iterator[Broker]:
    with Connection(rabbit.url) as connection:
        yield Broker(rabbit, connection)


def consumer_of(broker: Broker, store: Store) -> AmqpConsumer:
    return AmqpConsumer(
        url=broker.url,
        queue=broker.queue,
        store=store,
        bounds=Bounds(),
        clock=lambda: datetime(2026, 3, 1, 10, 5, tzinfo=UTC),
    )


@contextmanager
def running(consumer: AmqpConsumer) -> Iterator[AmqpConsumer]:
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        yield consumer
    finally:
        consumer.stop()
        thread.join(20)
    assert not thread.is_alive()


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def messages(store: Store) -> list[str]:
    with store.read() as connection:
        return sorted(connection.scalars(select(MonitorEvent.message)))


@pytest.mark.rabbitmq
def test_one_an_array_and_lines_are_stored_and_acknowledged(
    broker: Broker, sqlite_store: Store
) -> None:
    broker.put({"message": "a"})
    broker.put([{"message": "b"}, {"message": "c"}])
    broker.put(b'{"message": "d"}\n{"message": "e"}')
    with running(consumer_of(broker, sqlite_store)) as consumer:
        wait(lambda: consumer.counts.messages == 3)
    assert messages(sqlite_store) == ["a", "b", "c", "d", "e"]
    assert (broker.ready(), broker.ready(".dead")) == (0, 0)


@pytest.mark.rabbitmq
def test_poison_goes_to_the_dead_letters_with_its_reason_and_holds_up_nobody(
    broker: Broker, sqlite_store: Store
) -> None:
    broker.put(b"\xffnonsense", application_headers={"from": "x"})
    broker.put([{"event_id": "1", "message": "good"}, {"event_id": "2", "level": "grave"}])
    broker.put({"event_id": "3", "message": "good too"})
    with running(consumer_of(broker, sqlite_store)) as consumer:
        wait(lambda: consumer.counts.messages == 3)
    assert messages(sqlite_store) == ["good", "good too"]
    assert broker.ready() == 0
    first, second = broker.take_dead(), broker.take_dead()
    assert broker.take_dead() is None
    assert first.body == b"\xffnonsense"
    assert first.headers["from"] == "x"
    assert "UTF-8" in first.headers[ERROR_HEADER]
    assert second.headers[ERROR_HEADER].startswith("event 1: message: Field required")
    assert json.loads(second.body)[1] == {"event_id": "2", "level": "grave"}
    counts = consumer.counts
    assert (counts.stored, counts.rejected, counts.dead) == (2, 1, 2)


@pytest.mark.rabbitmq
def test_what_is_delivered_again_after_a_crash_is_stored_once(
    broker: Broker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.put({"event_id": "a", "message": "with id"})
    broker.put([{"message": "twin"}, {"message": "twin"}], message_id="m-1")
    broker.put([{"message": "timed", "occurred_at": NOW}] * 2)
    broker.put(
        {"message": "dated"}, timestamp=int(datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp())
    )

    class Crash(BaseException):
        pass

    def crash(_self: Message) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Message, "ack", crash)
        for _ in range(2):  # both commit, neither acknowledges
            with pytest.raises(Crash):
                consumer_of(broker, store).run()
    wait(lambda: broker.ready() == 4)
    with running(consumer_of(broker, store)) as consumer:
        wait(lambda: consumer.counts.messages == 4)
    assert messages(store) == ["dated", "timed", "timed", "twin", "twin", "with id"]
    assert (consumer.counts.stored, consumer.counts.repeated) == (0, 6)
    with store.read() as connection:
        dated = select(MonitorEvent.occurred_at).where(MonitorEvent.message == "dated")
        assert connection.scalar(dated) == datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.rabbitmq
def test_a_consumer_that_is_killed_before_the_commit_loses_nothing(
    broker: Broker, sqlite_store: Store
) -> None:
    for number in range(3):
        broker.put({"event_id": str(number), "message": str(number)})
    environment = {
        **os.environ,
        "USERDB_URL": f"sqlite:///{sqlite_store.engine.url.database}",
        "MONITORING_AMQP_URL": broker.url,
    }
    program = "from monitoring.cli import main; main()"
    command = [sys.executable, "-c", program, "consume", "--queue", broker.queue]
    with sqlite_store.engine.connect() as holder:
        holder.execute(text("SELECT 1"))  # begins a write transaction: nobody else can commit
        process = subprocess.Popen(command, env=environment)
        wait(lambda: broker.ready() == 0)
        time.sleep(0.3)
        process.kill()
        process.wait()
        holder.rollback()
    wait(lambda: broker.ready() == 3)
    assert messages(sqlite_store) == []
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    wait(lambda: len(messages(sqlite_store)) == 3)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "3 messages: 3 events stored" in said
    assert broker.ready() == 0


@pytest.mark.rabbitmq
def test_a_lost_connection_is_made_again(broker: Broker, sqlite_store: Store) -> None:
    broker.put({"message": "before"})
    with running(consumer_of(broker, sqlite_store)) as consumer:
        wait(lambda: consumer.counts.messages == 1)
        broker.server.close_connections()
        with Connection(broker.url) as connection:
            again = Broker(broker.server, connection)
            again.queue = broker.queue
            again.put({"message": "after"})
            wait(lambda: consumer.counts.messages == 2)
    assert messages(sqlite_store) == ["after", "before"]


@pytest.mark.rabbitmq
def test_a_userdb_that_is_away_is_waited_for(broker: Broker, sqlite_store: Store) -> None:
    class Away(Store):
        tries = 0

        def write(self, work: Any) -> Any:
            self.tries += 1
            if self.tries <= 2:
                raise UserdbUnavailable("userdb is away.")
            return super().write(work)

    broker.put({"message": "m"})
    away = Away(sqlite_store.url)
    with running(consumer_of(broker, away)) as consumer:
        wait(lambda: away.tries == 2)
        assert consumer.counts.messages == 0
        wait(lambda: consumer.counts.messages == 1)
    away.close()
    assert messages(sqlite_store) == ["m"]


@pytest.mark.rabbitmq
def test_a_queue_that_is_there_is_taken_as_it_is(broker: Broker, sqlite_store: Store) -> None:
    with Connection(broker.url) as connection:
        connection.default_channel.queue_declare(
            broker.queue, durable=False, auto_delete=False, arguments={"x-max-length": 5}
        )
    with running(consumer_of(broker, sqlite_store)) as consumer:
        with Connection(broker.url) as connection:
            producer = connection.Producer()
            producer.publish({"message": "m"}, routing_key=broker.queue, serializer="json")
        wait(lambda: consumer.counts.messages == 1)
    assert messages(sqlite_store) == ["m"]


@pytest.mark.parametrize("url", ["redis://x", "amqp://host:port/", "nonsense"])
def test_a_url_that_is_none_of_amqp_is_refused(sqlite_store: Store, url: str) -> None:
    with pytest.raises(ConfigError, match="AMQP"):
        AmqpConsumer(
            url=url, queue="q", store=sqlite_store, bounds=Bounds(), clock=lambda: datetime.now(UTC)
        )


def test_a_server_that_is_not_there_is_told_without_the_password(sqlite_store: Store) -> None:
    consumer = AmqpConsumer(
        url="amqp://user:pa55@127.0.0.1:1//",
        queue="q",
        store=sqlite_store,
        bounds=Bounds(),
        clock=lambda: datetime.now(UTC),
    )
    with pytest.raises(CollectionError, match="can't be used") as caught:
        consumer.run()
    assert "pa55" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)
