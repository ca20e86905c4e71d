"""Daily partitions on a server: made ahead, filled whatever the day, dropped behind the floor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from monitoring.cli import app
from monitoring.retention import MAX_DAYS, parse_days
from sqlalchemy import event, func, insert, select
from typer.testing import CliRunner

from tests.monitoring.facts import put_raw
from tests.servers.mariadb import MariaDbServer
from userdb.errors import ConfigError, UserdbUnavailable
from userdb.models import EventMinute, RequestLog
from userdb.partitions import (
    DAY,
    FUTURE,
    PARTITIONED,
    keep_partitions,
    partition,
    read_partitions,
)
from userdb.retention import MINUTE_TABLES, purge, read_floors
from userdb.store import Store, open_store
from userdb.times import to_minute

pytestmark = pytest.mark.mariadb

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MIDNIGHT = NOON.replace(hour=0)
#: So many partitions are made of rows that are there already.
MOST = 10


@pytest.fixture(scope="module")
def _url(mariadb_server: MariaDbServer) -> str:
    """A database of its own: other tests count on tables without days."""
    return mariadb_server.create_userdb("userdb_partitions")


@pytest.fixture
def store(_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """userdb, migrated and empty, no day with a partition yet; few days are made of old rows."""
    monkeypatch.setattr("userdb.partitions.MAX_DAYS", MOST)
    opened = open_store(_url)
    yield opened
    for table in PARTITIONED:
        found = [name for name in names(opened, table) if name != FUTURE]
        with opened.engine.connect() as connection:
            if found:
                connection.exec_driver_sql(f"ALTER TABLE {table} DROP PARTITION {', '.join(found)}")
            connection.exec_driver_sql(f"TRUNCATE TABLE {table}")
            connection.exec_driver_sql("DELETE FROM retention_floor")
            connection.commit()
    opened.close()


def names(store: Store, table: str = "event_minute") -> list[str]:
    with store.read() as connection:
        return [one.name for one in read_partitions(connection, table)]


def put(store: Store, *times: datetime) -> None:
    """A minute's count and a request at each of the times."""
    minutes = [{"minute": to_minute(at), "series_id": 1, "events": 1} for at in times]
    store.write(lambda connection: connection.execute(insert(EventMinute), minutes))
    put_raw(store, *({"occurred_at": at} for at in times))


def days(store: Store) -> list[int]:
    """Days of the rows of event_minute, and, the same, of request_log, counted from NOON's."""
    with store.read() as connection:
        minutes = connection.scalars(select(EventMinute.minute).order_by(EventMinute.minute)).all()
        times = connection.scalars(select(RequestLog.occurred_at).order_by(RequestLog.occurred_at))
        assert [to_minute(at) for at in times] == list(minutes)
    return [(minute - to_minute(MIDNIGHT)) // 1440 for minute in minutes]


def day_names(first: int, last: int) -> list[str]:
    return [*(f"d{MIDNIGHT + at * DAY:%Y%m%d}" for at in range(first, last + 1)), FUTURE]


def test_days_are_made_ahead_once(store: Store) -> None:
    for table in PARTITIONED:
        assert names(store, table) == [FUTURE]
    assert keep_partitions(store, now=NOON, ahead=2) == dict.fromkeys(PARTITIONED, 3)
    assert keep_partitions(store, now=NOON, ahead=2) == dict.fromkeys(PARTITIONED, 0)
    for table in PARTITIONED:
        assert names(store, table) == day_names(0, 2)
    # after a week without, the days between get theirs too
    assert keep_partitions(store, now=NOON + 7 * DAY, ahead=2) == dict.fromkeys(PARTITIONED, 7)
    assert names(store, "request_log") == day_names(0, 9)
    with store.read() as connection:
        for table in PARTITIONED:
            assert read_partitions(connection, table)[0].until == MIDNIGHT + DAY


def test_every_row_finds_a_partition_and_is_there_afterwards(store: Store) -> None:
    put(store, NOON - 2 * DAY, NOON, NOON + 9 * DAY)  # before any day has one
    keep_partitions(store, now=NOON, ahead=2)
    assert names(store) == day_names(-2, 2)
    assert days(store) == [-2, 0, 9]
    put(store, NOON - 400 * DAY, NOON - DAY, NOON + 5 * DAY)  # backfilled; far ahead
    keep_partitions(store, now=NOON + 6 * DAY, ahead=2)
    assert names(store) == day_names(-2, 8)
    assert days(store) == [-400, -2, -1, 0, 5, 9]


def test_processes_that_make_days_at_once_make_each_once(store: Store) -> None:
    put(store, NOON)
    others = [open_store(store.url.url.render_as_string(hide_password=False)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda one: keep_partitions(one, now=NOON, ahead=3), others))
    assert sum(one["event_minute"] for one in made) == 4
    assert names(store) == day_names(0, 3)
    for one in others:
        one.close()


def test_whole_days_go_with_their_partitions_and_the_floor_says_so(store: Store) -> None:
    put(store, NOON - 400 * DAY, *(NOON + at * DAY for at in range(-5, 3)))
    keep_partitions(store, now=NOON, ahead=2)
    assert names(store) == day_names(3 - MOST, 2)
    statements: list[str] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, *_rest) -> None:  # type: ignore[no-untyped-def]
        if statement.startswith(("ALTER", "DELETE", "INSERT")):
            statements.append(statement.split("(")[0])

    # the day that isn't over yet stays whole
    deleted = purge(store, before=NOON - 2 * DAY, tables=["event_minute", "request_log"])
    assert days(store) == [-2, -1, 0, 1, 2]
    assert set(deleted) == {"event_minute", "request_log"}
    assert names(store)[0] == names(store, "request_log")[0] == day_names(-2, 0)[0]
    with store.read() as connection:
        assert read_floors(connection) == {"event": to_minute(MIDNIGHT - 2 * DAY)}
    # the floor is there before its rows go, which is no part of a transaction
    assert statements[0].startswith("INSERT INTO retention_floor")
    assert statements[1].startswith("ALTER TABLE event_minute DROP PARTITION d2026")

    # what was backfilled behind the floor lies in the first day, and is deleted there
    put(store, NOON - 300 * DAY)
    assert purge(store, before=NOON - 2 * DAY, tables=["event_minute", "request_log"]) == {
        "event_minute": 1,
        "request_log": 1,
    }
    assert days(store) == [-2, -1, 0, 1, 2]
    # all days: what is left is as good as new
    purge(store, before=NOON + 40 * DAY, tables=["event_minute", "request_log"])
    assert names(store) == [FUTURE]
    assert days(store) == []


class Crash(Exception):
    """The process ended here."""


@pytest.mark.parametrize(
    ("crash_at", "floor", "left"),
    [
        ("INSERT INTO retention_floor", None, [-2, -1, 0]),  # nothing is stored yet
        ("ALTER", -1, [-2, -1, 0]),  # the floor is; minutes behind it may still be there
        ("DELETE", -1, [-1, 0]),
    ],
)
def test_a_crash_leaves_a_floor_that_is_high_enough(
    store: Store, crash_at: str, floor: int | None, left: list[int]
) -> None:
    put(store, *(NOON + at * DAY for at in (-2, -1, 0)))
    keep_partitions(store, now=NOON, ahead=0)

    def crash(_connection, _cursor, statement, *_rest) -> None:  # type: ignore[no-untyped-def]
        if statement.startswith(crash_at):
            raise Crash

    event.listen(store.engine, "before_cursor_execute", crash)
    with pytest.raises(Crash):
        purge(store, before=NOON - DAY, tables=["event_minute"])
    event.remove(store.engine, "before_cursor_execute", crash)
    with store.read() as connection:
        kept = connection.scalars(select(EventMinute.minute)).all()
        floors = read_floors(connection)
    assert [(minute - to_minute(MIDNIGHT)) // 1440 for minute in sorted(kept)] == left
    assert floors == ({} if floor is None else {"event": to_minute(MIDNIGHT + floor * DAY)})
    # the next run takes it up
    purge(store, before=NOON - DAY, tables=["event_minute", "request_log"])
    assert days(store) == [-1, 0]


def test_a_table_that_is_being_read_is_given_up_soon_and_dropped_by_the_next_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("userdb.partitions._PATIENCE_S", 1)
    monkeypatch.setattr("userdb.store._ATTEMPTS", 2)
    put(store, NOON - DAY, NOON)
    keep_partitions(store, now=NOON, ahead=0)
    other = open_store(store.url.url.render_as_string(hide_password=False))
    with other.read() as reading:
        assert reading.scalar(select(func.count()).select_from(EventMinute)) == 2
        with pytest.raises(UserdbUnavailable, match="See who holds a long transaction"):
            purge(store, before=NOON, tables=["event_minute"])
        # nobody waits behind it, and the reader loses nothing
        put(store, NOON + DAY)
        assert reading.scalar(select(func.count()).select_from(EventMinute)) == 3
    purge(store, before=NOON, tables=["event_minute", "request_log"])
    assert days(store) == [0, 1]
    with store.read() as connection:
        # others that get this connection have the server's patience
        assert connection.exec_driver_sql("SELECT @@lock_wait_timeout").scalar() > 1000
    other.close()


def test_a_filled_table_is_partitioned_whole_or_not_at_all(
    mariadb_server: MariaDbServer, store: Store
) -> None:
    """As it is when an upgrade meets a filled database, and is killed in the middle of it."""
    for table in PARTITIONED:
        mariadb_server.execute(f"ALTER TABLE userdb_partitions.{table} REMOVE PARTITIONING")
    put(store, NOON - 2 * MOST * DAY)
    put(store, *(NOON + at * DAY / 4 for at in range(-8, 0)))
    mariadb_server.execute(
        "USE userdb_partitions",
        "INSERT INTO event_minute "
        f"SELECT {to_minute(NOON)} - seq % 2880, 10 + seq, 1 FROM seq_1_to_200000",
    )
    with store.read() as connection:
        before = connection.scalar(select(func.count()).select_from(EventMinute))
    killed = threading.Event()

    def kill() -> None:
        while not killed.is_set():
            found = mariadb_server.query(
                "SELECT id FROM information_schema.processlist "
                "WHERE info LIKE 'ALTER TABLE event_minute%' AND state LIKE 'copy%'"
            )
            for (process,) in found:
                mariadb_server.execute(f"KILL {process}")
                killed.set()

    killer = threading.Thread(target=kill)
    killer.start()

    def migrate() -> None:
        with store.engine.connect() as connection:
            for table in PARTITIONED:
                partition(connection, table)

    try:
        with pytest.raises(Exception, match=r"Lost connection|2013|interrupted|killed|1317|1927"):
            migrate()
    finally:
        killed.set()
        killer.join()
    assert names(store) == []
    assert names(store, "request_log") != []  # the one before it is done
    migrate()
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(EventMinute)) == before
        parts = read_partitions(connection, "event_minute")
        assert len(read_partitions(connection, "request_minute")) == 1
    # the newest of the days; what is older lies in the first
    assert len(parts) == MOST + 1
    assert parts[-2].until == MIDNIGHT + DAY


def test_retention_is_set_by_the_table() -> None:
    assert parse_days(" request_log=3, container_sample = 90,") == {
        "request_log": 3,
        "container_sample": 90,
    }
    assert parse_days("") == {}
    assert parse_days(f"request_log={MAX_DAYS}") == {"request_log": 36_500}
    twice, long = "request_log=1,request_log=2", "request_log=" + "9" * 5000
    for wrong in ("alert=3", "request_log", "request_log=-1", twice, "request_log=36501", long):
        with pytest.raises(ConfigError, match=r"MONITORING_RETENTION_DAYS.*table=days"):
            parse_days(wrong)


def test_the_command_shows_the_partitions_of_each_table(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERDB_URL", store.url.url.render_as_string(hide_password=False))
    runner = CliRunner(env={"COLUMNS": "200"})
    assert runner.invoke(app, ["db", "upgrade"]).exit_code == 0
    shown = runner.invoke(app, ["db", "partitions"]).output
    today = datetime.now(UTC)
    for table in PARTITIONED:
        assert f"{table} " in shown
    assert f"to d{today + timedelta(days=7):%Y%m%d}, 8 days" in shown
    listed = runner.invoke(app, ["db", "partitions", "request_log"]).output
    assert len([line for line in listed.splitlines() if " d2" in line]) == 8
    assert runner.invoke(app, ["db", "partitions", "alert"]).exit_code != 0


def test_whatever_has_days_has_a_retention() -> None:
    assert set(PARTITIONED) == {*MINUTE_TABLES, "request_log"}
