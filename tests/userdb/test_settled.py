"""Reading on from an id while others write: every committed row is read, and once."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select, text

from userdb.models import MinuteChange
from userdb.settled import settled
from userdb.store import Store

WRITERS, EACH = 6, 25


def _row(mark: int) -> dict[str, object]:
    return {"family": "request", "first_minute": mark, "last_minute": mark, "token": ""}


def _read_on(store: Store, after: int, limit: int = 7) -> list[tuple[int, int]]:
    with store.read() as connection:
        rows = connection.execute(
            select(MinuteChange.id, MinuteChange.first_minute)
            .where(MinuteChange.id > after)
            .order_by(MinuteChange.id)
            .limit(limit)
        ).all()
        ids = [row.id for row in rows]
        return [tuple(row) for row in rows[: settled(connection, MinuteChange.id, after, ids)]]


def test_concurrent_writers_lose_no_row_to_a_reader_that_reads_on(store: Store) -> None:
    """Writers commit in another order than they insert in, and some roll back."""
    committed: set[int] = set()

    def write(writer: int) -> None:
        chance = random.Random(writer)
        for number in range(EACH):
            mark = writer * EACH + number
            with store.engine.connect() as connection:
                transaction = connection.begin()
                connection.execute(insert(MinuteChange), [_row(mark), _row(mark + 100_000)])
                if not store.is_sqlite:
                    time.sleep(chance.uniform(0, 0.02))
                if chance.random() < 0.2:
                    transaction.rollback()
                else:
                    transaction.commit()
                    committed.update((mark, mark + 100_000))

    seen: list[int] = []
    after, done = 0, threading.Event()

    def read() -> None:
        nonlocal after
        while True:
            ended = done.is_set()
            rows = _read_on(store, after)
            seen.extend(mark for _, mark in rows)
            after = rows[-1][0] if rows else after
            if ended and not rows:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    done.set()
    reader.join(60)
    assert not reader.is_alive()
    assert len(seen) == len(set(seen))
    assert set(seen) == committed


@pytest.mark.mariadb
def test_reading_stops_before_an_open_transaction_and_holds_up_no_writer(
    mariadb_store: Store,
) -> None:
    with mariadb_store.engine.connect() as late, mariadb_store.engine.connect() as early:
        late.begin()
        late.execute(insert(MinuteChange), [_row(1)])
        with early.begin():
            early.execute(insert(MinuteChange), [_row(2)])
        began = time.perf_counter()
        assert _read_on(mariadb_store, 0) == []
        assert time.perf_counter() - began < 5
        with mariadb_store.read() as reading:
            # the reader's locks are on nothing that a writer needs
            assert settled(reading, MinuteChange.id, 0, [2]) == 0
            early.execute(text("SET innodb_lock_wait_timeout = 1"))
            early.commit()
            with early.begin():
                early.execute(insert(MinuteChange), [_row(3)])
        late.commit()
        assert [mark for _, mark in _read_on(mariadb_store, 0)] == [1, 2, 3]


def test_ids_that_nobody_brings_are_passed(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(insert(MinuteChange), [{"id": 5, **_row(1)}, {"id": 9, **_row(2)}])
    assert [mark for _, mark in _read_on(store, 0)] == [1, 2]
