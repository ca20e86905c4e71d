"""Transactions: nothing lost, retried as a whole, and clear words where userdb is down."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from tests.servers.mariadb import PASSWORD, MariaDbServer, run_mariadb
from tests.userdb.processes import finish, start
from userdb.errors import UserdbUnavailable
from userdb.models import EventMinute, Series
from userdb.series import fingerprint, intern_series, touch_series
from userdb.store import Store, open_store


def _add(store: Store, *rows: tuple[int, int, int]) -> None:
    values = [{"minute": minute, "series_id": one, "events": n} for minute, one, n in rows]
    store.write(lambda connection: connection.execute(insert(EventMinute), values))


def _events(store: Store) -> dict[int, int]:
    with store.read() as connection:
        rows = connection.execute(select(EventMinute.minute, EventMinute.events))
        return {row.minute: row.events for row in rows}


def test_no_update_is_lost_between_processes(store: Store) -> None:
    _add(store, (1, 1, 0))
    processes = [start(store, "count_up", 40) for _ in range(3)]
    for process in processes:
        finish(process)
    assert _events(store) == {1: 120}


def test_a_read_changes_nothing(store: Store) -> None:
    with store.read() as connection:
        connection.execute(insert(EventMinute), [{"minute": 1, "series_id": 1, "events": 1}])
    assert _events(store) == {}


def test_a_write_that_fails_leaves_nothing_and_is_not_repeated(store: Store) -> None:
    runs: list[int] = []

    def work(connection: Connection) -> None:
        runs.append(1)
        row = {"minute": 1, "series_id": 1, "events": 1}
        connection.execute(insert(EventMinute), [row])
        connection.execute(insert(EventMinute), [row])

    with pytest.raises(IntegrityError):
        store.write(work)
    assert runs == [1]
    assert _events(store) == {}


def test_readers_see_what_was_before_while_a_write_goes_on(store: Store) -> None:
    _add(store, (1, 1, 5))

    def work(connection: Connection) -> None:
        connection.execute(update(EventMinute).values(events=6))
        assert _events(store) == {1: 5}

    store.write(work)
    assert _events(store) == {1: 6}


@pytest.mark.mariadb
def test_a_deadlock_is_retried_as_a_whole(mariadb_store: Store) -> None:
    _add(mariadb_store, (1, 1, 0), (2, 1, 0))
    both_hold_one = threading.Barrier(2)
    runs: list[int] = []

    def crosswise(first: int, second: int) -> None:
        tried: list[int] = []

        def work(connection: Connection) -> None:
            runs.append(first)
            tried.append(first)
            for minute in (first, second):
                connection.execute(
                    update(EventMinute)
                    .where(EventMinute.minute == minute)
                    .values(events=EventMinute.events + 1)
                )
                if minute == first and len(tried) == 1:
                    both_hold_one.wait(10)

        mariadb_store.write(work)

    threads = [threading.Thread(target=crosswise, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(runs) == 3
    assert _events(mariadb_store) == {1: 2, 2: 2}


@pytest.mark.mariadb
def test_a_connection_lost_before_the_commit_is_retried(
    mariadb_store: Store, mariadb_server: MariaDbServer
) -> None:
    runs: list[int] = []

    def work(connection: Connection) -> None:
        runs.append(1)
        connection.execute(insert(EventMinute), [{"minute": 1, "series_id": 1, "events": 1}])
        if len(runs) == 1:
            mariadb_server.execute(f"KILL {connection.scalar(text('SELECT CONNECTION_ID()'))}")
        connection.execute(insert(EventMinute), [{"minute": 2, "series_id": 1, "events": 1}])

    mariadb_store.write(work)
    assert runs == [1, 1]
    assert _events(mariadb_store) == {1: 1, 2: 1}


@pytest.mark.mariadb
def test_a_connection_lost_at_the_commit_is_told_and_not_repeated(
    mariadb_store: Store, mariadb_server: MariaDbServer
) -> None:
    runs: list[int] = []

    def work(connection: Connection) -> None:
        runs.append(1)
        connection.execute(insert(EventMinute), [{"minute": 1, "series_id": 1, "events": 1}])
        mariadb_server.execute(f"KILL {connection.scalar(text('SELECT CONNECTION_ID()'))}")

    with pytest.raises(UserdbUnavailable, match=r"lost while committing.*is not known"):
        mariadb_store.write(work)
    assert runs == [1]


@pytest.mark.mariadb
def test_a_connection_lost_while_reading(
    mariadb_store: Store, mariadb_server: MariaDbServer
) -> None:
    def read() -> None:
        with mariadb_store.read() as connection:
            mariadb_server.execute(f"KILL {connection.scalar(text('SELECT CONNECTION_ID()'))}")
            connection.scalar(text("SELECT 1"))

    with pytest.raises(UserdbUnavailable, match="lost while reading"):
        read()
    # the next one opens a new connection
    assert _events(mariadb_store) == {}


def test_a_lock_that_is_never_released(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("userdb.store._ATTEMPTS", 3)
    other = open_store(str(sqlite_store.url.url))
    with sqlite_store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 20")
        connection.rollback()

        def blocked(holder: Connection) -> None:
            with pytest.raises(UserdbUnavailable, match=r"in 3 attempts: database is locked\. See"):
                sqlite_store.write(lambda _: None)

        # the pool gives the connection with the short patience
        connection.close()
        other.write(blocked)
    sqlite_store.write(lambda _: None)
    other.close()


@pytest.mark.mariadb
def test_text_that_is_too_long_is_refused_and_not_cut(mariadb_store: Store) -> None:
    row = {"family": "x" * 17, "fingerprint": "f", "labels": {}}
    with pytest.raises(Exception, match="Data too long for column 'family'"):
        mariadb_store.write(lambda connection: connection.execute(insert(Series), [row]))


@pytest.mark.mariadb
@pytest.mark.parametrize("driver", ["mysql+mysqldb", "mysql+pymysql"])
def test_what_is_said_when_a_server_refuses(mariadb_server: MariaDbServer, driver: str) -> None:
    url = mariadb_server.url("nowhere", driver)
    cases = {
        url: r"Unknown database 'nowhere'\. Create it: CREATE DATABASE",
        url.replace("41@", "42@"): r"Access denied for user.*Correct the user or the password\.",
    }
    for given, said in cases.items():
        store = open_store(given)
        with pytest.raises(UserdbUnavailable, match=rf"127\.0\.0\.1:\d+/nowhere.*{said}") as caught:
            store.write(lambda _: None)
        assert PASSWORD not in str(caught.value)
        assert PASSWORD[:-1] not in str(caught.value)
        assert "p%40ss" not in str(caught.value)


def test_what_is_said_when_the_server_is_down() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = open_store(f"mysql+pymysql://u:secret@127.0.0.1:{port}/userdb")
    for use in (lambda: store.write(lambda _: None), lambda: store.read().__enter__()):
        with pytest.raises(UserdbUnavailable, match=rf":{port}/.*Start the server, or") as caught:
            use()
        assert "secret" not in str(caught.value)


@pytest.mark.mariadb
def test_a_server_that_was_killed_and_comes_back_is_used_again() -> None:
    """Between two operations, and in the middle of one."""
    # what was committed must outlive the kill
    with run_mariadb("--innodb-flush-log-at-trx-commit=1") as server:
        store = open_store(server.create_database("userdb"))
        store.write(EventMinute.__table__.create)
        _add(store, (1, 1, 1))
        server.restart()
        _add(store, (2, 1, 1))
        server.restart()
        assert _events(store) == {1: 1, 2: 1}
        runs: list[int] = []

        def work(connection: Connection) -> None:
            runs.append(1)
            for minute in (3, 4):
                connection.execute(
                    insert(EventMinute), [{"minute": minute, "series_id": 1, "events": 1}]
                )
                if len(runs) == 1:
                    server.restart()

        store.write(work)
        assert runs == [1, 1]
        assert _events(store) == {1: 1, 2: 1, 3: 1, 4: 1}
    with pytest.raises(UserdbUnavailable, match="Start the server"):
        store.write(lambda _: None)
    store.close()


@pytest.mark.mariadb
def test_a_lock_that_is_waited_for_too_long_is_tried_again(mariadb_store: Store) -> None:
    _add(mariadb_store, (1, 1, 0))
    other = open_store(mariadb_store.url.url.render_as_string(hide_password=False))
    runs: list[int] = []
    change = update(EventMinute).values(events=EventMinute.events + 1)
    with other.engine.connect() as holder:
        holder.execute(change)

        def work(connection: Connection) -> None:
            runs.append(1)
            if len(runs) == 2:
                holder.rollback()
            connection.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
            connection.execute(change)

        mariadb_store.write(work)
    assert runs == [1, 1]
    assert _events(mariadb_store) == {1: 1}
    other.close()


@pytest.mark.mariadb
def test_a_process_that_needs_too_many_connections_is_told(
    mariadb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_KEPT", 1), ("_MOST", 2), ("_POOL_PATIENCE_S", 0.1)):
        monkeypatch.setattr(f"userdb.store.{name}", value)
    few = open_store(mariadb_store.url.url.render_as_string(hide_password=False))
    with few.read(), few.read(), pytest.raises(UserdbUnavailable, match="has 2 connections"):
        few.write(lambda _: None)
    few.write(lambda _: None)
    few.close()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("file/userdb.sqlite", r"file can't be created: File exists\. Create it, or point"),
        ("file/below/userdb.sqlite", r"can't be created: Not a directory\. Create it, or point"),
        ("folder", r"folder.*unable to open database file\. Make the file readable"),
    ],
)
def test_what_is_said_of_a_file_that_can_not_be_opened(
    tmp_path: Path, path: str, said: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserdbUnavailable, match=said):
        open_store(f"sqlite:///{tmp_path / path}").write(lambda _: None)


def test_processes_intern_the_same_series_at_once(store: Store) -> None:
    processes = [start(store, "intern", 200) for _ in range(3)]
    told = {finish(process) for process in processes}
    assert len(told) == 1
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Series)) == 200


def test_interning(store: Store) -> None:
    sets = [{"service": f"s{number}", "route": ""} for number in range(12_000)]
    first = store.write(lambda connection: intern_series(connection, "event", sets))
    assert len(first) == 12_000
    again = store.write(
        lambda connection: intern_series(connection, "event", [{"service": "s7"}, {"service": "x"}])
    )
    # an empty value is an absent label
    assert again[fingerprint({"service": "s7"})] == first[fingerprint({"service": "s7", "a": ""})]
    other = store.write(lambda connection: intern_series(connection, "request", [{"service": "x"}]))
    assert set(other.values()).isdisjoint(again.values())
    assert store.write(lambda connection: intern_series(connection, "event", [])) == {}


def test_the_life_of_series_only_widens(store: Store) -> None:
    def lives() -> list[tuple[int | None, int | None]]:
        with store.read() as connection:
            rows = connection.execute(
                select(Series.first_minute, Series.last_minute).order_by(Series.id)
            )
            return [(row.first_minute, row.last_minute) for row in rows]

    def touch(spans: dict[int, tuple[int, int]]) -> None:
        store.write(lambda connection: touch_series(connection, spans))

    marks = [{"service": name} for name in "abc"]
    ids = list(store.write(lambda connection: intern_series(connection, "event", marks)).values())
    a, b, _ = sorted(ids)
    touch({a: (10, 20), b: (10, 15)})
    assert lives() == [(10, 20), (10, 15), (None, None)]
    touch({a: (12, 18), b: (5, 30)})
    touch({})
    assert lives() == [(10, 20), (5, 30), (None, None)]
