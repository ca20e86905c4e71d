"""A policy that is registered while facts are being written: whoever comes first, it sees them.

Transactions are held just before their commit, until the other side is done or seen to wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from monitoring.evaluation import register_versions
from monitoring.policy.loader import Policies
from monitoring.policy.state import lock_policy
from sqlalchemy import event, func, select, text

from tests.monitoring.facts import T0, cover, put_requests
from tests.monitoring.test_history import POLICIES, quiet, run, steps, timeouts, write_policies
from tests.servers.mariadb import MariaDbServer
from userdb.ledger import mark_dirty
from userdb.models import Dirty, PolicyVersion
from userdb.series import intern_series, lock_series
from userdb.store import Store, open_store
from userdb.times import from_minute

pytestmark = pytest.mark.mariadb

_PATIENCE_S = 30
#: The policy ``timeouts``, as it was when it looked at another family.
_OF_EVENTS = """
policies:
  - {name: timeouts, kind: threshold, signal: events.count, by: [service], condition: "> 5"}
"""
#: What ``timeouts`` makes of too many of them in the minutes 4 to 7.
_STEPS = [(5, "pending"), (7, "firing"), (13, "resolved")]


class Held:
    """A connection of its own, whose transactions wait before their commit until ``go`` is set."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url)
        self.arrived, self.go = threading.Event(), threading.Event()
        event.listen(self.store.engine, "commit", self._hold)

    def _hold(self, _connection: object) -> None:
        self.arrived.set()
        assert self.go.wait(_PATIENCE_S)


@pytest.fixture
def url(mariadb_store: Store) -> str:
    return mariadb_store.engine.url.render_as_string(hide_password=False)


@pytest.fixture
def held(url: str) -> Iterator[Callable[[], Held]]:
    made: list[Held] = []

    def make() -> Held:
        made.append(Held(url))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


@pytest.fixture
def waiting(mariadb_server: MariaDbServer) -> Callable[[], int]:
    """How many transactions wait for a lock."""
    query = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    return lambda: mariadb_server.query(query)[0][0]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as threads:
        yield threads


@pytest.fixture(params=["new policy", "change of family"])
def loaded(request: pytest.FixtureRequest, mariadb_store: Store, tmp_path: Path) -> Policies:
    """Policies over requests that aren't registered yet, where there are quiet minutes."""
    if request.param == "change of family":
        before = write_policies(tmp_path / "before", _OF_EVENTS)
        assert not before.errors
        register_versions(mariadb_store, before, now=from_minute(T0 - 60), edits=True)
    put_requests(mariadb_store, quiet(*range(21)))
    cover(mariadb_store, T0 - 30, T0 + 21)
    return write_policies(tmp_path / "p", POLICIES)


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def _register_and_run(registering: Store, store: Store, loaded: Policies) -> None:
    register_versions(registering, loaded, now=from_minute(T0), edits=True)
    run(store, loaded, T0, T0 + 20, register=False)


def _later_run(store: Store, loaded: Policies) -> None:
    run(store, loaded, T0 + 20, T0 + 21, register=False)
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Dirty)) == 0


def test_facts_that_were_first_are_seen(mariadb_store, loaded, held, waiting, pool) -> None:
    collector = held()
    collecting = pool.submit(put_requests, collector.store, timeouts(4, 5, 6, 7))
    assert collector.arrived.wait(_PATIENCE_S)
    running = pool.submit(_register_and_run, mariadb_store, mariadb_store, loaded)
    _until(lambda: running.done() or waiting() == 1)
    collector.go.set()
    _done(collecting, running)
    _later_run(mariadb_store, loaded)
    assert steps(mariadb_store) == _STEPS


def test_facts_that_were_second_are_told(mariadb_store, loaded, held, waiting, pool) -> None:
    registrar, collector = held(), held()
    running = pool.submit(_register_and_run, registrar.store, mariadb_store, loaded)
    assert registrar.arrived.wait(_PATIENCE_S)
    collecting = pool.submit(put_requests, collector.store, timeouts(4, 5, 6, 7))
    _until(lambda: collector.arrived.is_set() or waiting() == 1)
    registrar.go.set()
    _done(running)  # while the facts aren't committed
    assert steps(mariadb_store) == []
    collector.go.set()
    _done(collecting)
    _later_run(mariadb_store, loaded)
    assert steps(mariadb_store) == _STEPS


def _mark_without_waiting(url: str) -> None:
    """Fails where there is a lock to be waited for."""
    store = open_store(url)
    with store.engine.begin() as connection:
        connection.execute(text("SET innodb_lock_wait_timeout = 0"))
        mark_dirty(connection, "request", [T0])
    store.close()


def test_collectors_do_not_wait_for_each_other(url, held, pool) -> None:
    one = held()
    first = pool.submit(one.store.write, lambda connection: mark_dirty(connection, "request", [1]))
    assert one.arrived.wait(_PATIENCE_S)
    _mark_without_waiting(url)
    assert not first.done()
    one.go.set()
    _done(first)


def test_collectors_do_not_wait_for_who_scores_a_policy_that_is_edited(
    mariadb_store, url, tmp_path, held, waiting, pool
) -> None:
    def register(text: str) -> None:
        loaded = write_policies(tmp_path / "p", text)
        register_versions(mariadb_store, loaded, now=from_minute(T0), edits=True)

    register(POLICIES)
    scorer = held()
    scoring = pool.submit(scorer.store.write, lambda connection: lock_policy(connection, "silence"))
    assert scorer.arrived.wait(_PATIENCE_S)
    editing = pool.submit(register, POLICIES.replace("< 1", "< 2"))
    _until(lambda: waiting() == 1)
    _mark_without_waiting(url)
    assert not scoring.done()
    assert not editing.done()
    scorer.go.set()
    _done(scoring, editing)


def test_of_a_deadlock_with_collectors_who_registers_begins_again(
    mariadb_store, tmp_path, waiting, pool
) -> None:
    """One shares the lock and wants a series that another has locked, who wants to share too, and
    stands behind who registers."""
    loaded = write_policies(tmp_path / "p")
    labels = [{"service": "sim"}]
    (series,) = mariadb_store.write(
        lambda connection: intern_series(connection, "request", labels)
    ).values()
    begun: list[str] = []
    shared, behind = threading.Event(), threading.Event()

    def first(connection) -> None:
        begun.append("first")
        mark_dirty(connection, "request", [T0])
        shared.set()
        assert behind.wait(_PATIENCE_S)
        lock_series(connection, [series])

    def second(connection) -> None:
        begun.append("second")
        lock_series(connection, [series])
        mark_dirty(connection, "request", [T0])

    collecting = pool.submit(mariadb_store.write, first)
    assert shared.wait(_PATIENCE_S)
    registering = pool.submit(
        register_versions, mariadb_store, loaded, now=from_minute(T0), edits=True
    )
    _until(lambda: waiting() == 1)
    other = pool.submit(mariadb_store.write, second)
    _until(lambda: waiting() == 2)
    behind.set()
    _done(collecting, registering, other)
    assert sorted(begun) == ["first", "second"]
    with mariadb_store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(PolicyVersion)) == 2


def _done(*futures: Future[object]) -> None:
    for one in futures:
        one.result(_PATIENCE_S)
