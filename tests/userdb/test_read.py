"""Range reads: the same rows and dtypes on both dialects, whole also while others write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Connection, func, insert, select

from tests.userdb.processes import finish, start
from userdb.bulk import bulk_insert
from userdb.models import ContainerSample, EventMinute, MonitorEvent
from userdb.read import read_columns
from userdb.store import Store

AT = datetime(2026, 1, 31, 10, 0, 0, 123456, tzinfo=UTC)


def _sample(series: int, **values: Any) -> dict[str, Any]:
    return {
        "minute": 5,
        "series_id": series,
        "observed_at": AT,
        "container_id": "c",
        "state": "running",
        "restarts": 0,
        "running": 1,
        **values,
    }


SAMPLES = [
    _sample(1, cpu_percent=12.5, pids=3, oom_killed=False, memory_bytes=2**40, health="healthy"),
    _sample(2),
]
QUERY = select(
    ContainerSample.series_id,
    ContainerSample.pids,
    ContainerSample.oom_killed,
    ContainerSample.memory_bytes,
    ContainerSample.cpu_percent,
    ContainerSample.health,
    ContainerSample.observed_at,
    (ContainerSample.series_id * 2).label("twice"),
).order_by(ContainerSample.series_id)
DTYPES = {
    "series_id": "int64",
    "pids": "float64",
    "oom_killed": "float64",
    "memory_bytes": "float64",
    "cpu_percent": "float64",
    "health": "object",
    "observed_at": "object",
    "twice": "int64",
}


def test_rows_and_dtypes(store: Store) -> None:
    store.write(lambda connection: bulk_insert(connection, ContainerSample, SAMPLES))
    frame = read_columns(store, QUERY)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == DTYPES
    assert frame.iloc[0].to_dict() == {
        "series_id": 1,
        "pids": 3,
        "oom_killed": 0,
        "memory_bytes": 2**40,
        "cpu_percent": 12.5,
        "health": "healthy",
        "observed_at": AT,
        "twice": 2,
    }
    missing = frame.iloc[1]
    assert missing["health"] is None
    assert np.isnan([missing["pids"], missing["oom_killed"], missing["cpu_percent"]]).all()


def test_dtypes_do_not_depend_on_the_rows(store: Store) -> None:
    frame = read_columns(store, QUERY)
    assert frame.shape == (0, len(DTYPES))
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == DTYPES


def test_json_sums_and_conditions(store: Store) -> None:
    event = {
        "event_id": "it's %s; --",
        "event_type": "custom",
        "source": "\\",
        "level": "info",
        "message": "",
        "detail": {"a": [1, "ü"]},
        "occurred_at": AT,
        "created_at": AT,
    }
    counts = [{"minute": minute, "series_id": 1, "events": minute} for minute in (1, 2, 3)]
    store.write(lambda connection: bulk_insert(connection, MonitorEvent, [event]))
    store.write(lambda connection: bulk_insert(connection, EventMinute, counts))
    frame = read_columns(
        store,
        select(MonitorEvent.detail, MonitorEvent.id).where(
            MonitorEvent.event_id == event["event_id"], MonitorEvent.source.in_(["\\", "'"])
        ),
    )
    assert frame["detail"].tolist() == [{"a": [1, "ü"]}]
    sums = read_columns(
        store, select(func.sum(EventMinute.events).label("n")).where(EventMinute.minute >= 2)
    )
    assert sums["n"].tolist() == [5]
    assert sums["n"].dtype == np.int64
    none = read_columns(
        store, select(func.sum(EventMinute.events).label("n")).where(EventMinute.minute > 9)
    )
    assert np.isnan(none["n"][0])


def test_on_a_transactions_own_connection(store: Store) -> None:
    query = select(EventMinute.minute, EventMinute.events)

    def work(connection: Connection) -> pd.DataFrame:
        connection.execute(insert(EventMinute), [{"minute": 1, "series_id": 1, "events": 9}])
        assert len(read_columns(store, query)) == 0
        return read_columns(store, query, connection=connection)

    assert store.write(work).to_dict("list") == {"minute": [1], "events": [9]}


@pytest.mark.parametrize("workers", [2])
def test_reads_are_whole_while_processes_insert(store: Store, workers: int) -> None:
    processes = [start(store, "insert_blocks", worker) for worker in range(workers)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    query = select(EventMinute.minute, EventMinute.series_id, EventMinute.events)
    seen = 0
    while any(process.poll() is None for process in processes):
        frame = read_columns(store, query)
        # a transaction's 1,000 rows are seen together or not at all, and never lost again
        assert (frame.groupby(frame["minute"] // 10).size() == 1000).all()
        assert len(frame) >= seen
        seen = len(frame)
    blocks = [int(finish(process)) for process in processes]
    assert min(blocks) > 0
    frame = read_columns(store, query)
    assert frame["events"].value_counts().sort_index().tolist() == [1000 * n for n in blocks]
