"""Run as a process by the tests: one userdb, several processes.

python worker.py URL WORK [ARGUMENT]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection, select, update

from userdb.bulk import bulk_insert
from userdb.models import EventMinute
from userdb.series import intern_series
from userdb.store import Store, open_store


def count_up(store: Store, times: str) -> None:
    """Add one to a counter, reading it first: an update is lost where two do it at once."""

    def work(connection: Connection) -> None:
        query = select(EventMinute.events).where(EventMinute.minute == 1)
        events = connection.scalar(query.with_for_update())
        assert events is not None
        time.sleep(0.001)
        connection.execute(update(EventMinute).values(events=events + 1))

    for _ in range(int(times)):
        store.write(work)


def intern(store: Store, count: str) -> None:
    """Intern the same label sets as other processes do, a few at a time; print the ids."""
    sets = [{"service": f"s{number}"} for number in range(int(count))]
    ids: dict[str, int] = {}
    for at in range(0, len(sets), 10):
        part = sets[at : at + 30]
        ids |= store.write(partial(intern_series, family="event", label_sets=part))
    print(sorted(ids.items()))


def insert_blocks(store: Store, worker: str) -> None:
    """Insert blocks of 1,000 rows for three seconds; print how many."""
    block = 0
    print("ready", flush=True)
    end = time.perf_counter() + 3
    while time.perf_counter() < end:
        first = (int(worker) * 100_000 + block) * 10
        rows = [
            {"minute": first + number // 100, "series_id": number % 100, "events": int(worker)}
            for number in range(1000)
        ]
        store.write(partial(bulk_insert, model=EventMinute, rows=rows))
        block += 1
    print(block)


WORK: dict[str, Callable[[Store, str], None]] = {
    "count_up": count_up,
    "intern": intern,
    "insert_blocks": insert_blocks,
}

if __name__ == "__main__":
    opened = open_store(sys.argv[1])
    WORK[sys.argv[2]](opened, sys.argv[3])
    opened.close()
