"""Bulk inserts: what goes in comes out, on both dialects and by each way in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import IntegrityError

from tests.servers.mariadb import MariaDbServer
from userdb.bulk import bulk_insert
from userdb.errors import NaiveDatetimeError, RowError
from userdb.models import Collection, EventMinute, MonitorEvent, PolicyScore, RequestLog
from userdb.store import Store, open_store

AT = datetime(2026, 1, 31, 10, 0, 0, 123456, tzinfo=UTC)
HARD_TEXTS = [
    "plain",
    "tab\there",
    "line\nbreak\r\n",
    "back\\slash \\N \\t \\",
    "quotes ' \" ` %s %(a)s",
    "NUL \0 inside",
    "emoji 😀 and 汉字",
    "Ctrl-Z \x1a, space at the end ",
    "",
    "\\N",
]


@pytest.fixture(params=["load data", "insert"])
def way(request: pytest.FixtureRequest, store: Store) -> Iterator[Store]:
    """A store, and on a server both with LOAD DATA allowed and not."""
    if request.param == "insert" and not store.is_sqlite:
        server: MariaDbServer = request.getfixturevalue("mariadb_server")
        server.execute("SET GLOBAL local_infile = 0")
        yield store
        server.execute("SET GLOBAL local_infile = 1")
    else:
        yield store


def _events(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "event_id": f"e{number}",
            "event_type": "custom",
            "source": "test",
            "level": "error",
            "message": HARD_TEXTS[number % len(HARD_TEXTS)],
            "detail": {"text": HARD_TEXTS[number % len(HARD_TEXTS)], "n": number, "none": None},
            "occurred_at": AT + timedelta(microseconds=number),
            "created_at": (AT + timedelta(seconds=number)).astimezone(timezone(timedelta(hours=8))),
            "service": None if number % 2 else f"Sim {number}",
            **changes,
        }
        for number in range(count)
    ]


def _stored(connection: Connection, model: Any, *order: Any) -> list[dict[str, Any]]:
    return [
        dict(row) for row in connection.execute(select(model.__table__).order_by(*order)).mappings()
    ]


@pytest.mark.parametrize("count", [3, 450])
@pytest.mark.parametrize("as_frame", [False, True])
def test_what_goes_in_comes_out(way: Store, count: int, as_frame: bool) -> None:
    events = _events(count)
    rows = pd.DataFrame(events) if as_frame else events
    assert way.write(lambda connection: bulk_insert(connection, MonitorEvent, rows)) == count
    with way.read() as connection:
        stored = _stored(connection, MonitorEvent, MonitorEvent.id)
    assert len(stored) == count
    for given, found in zip(events, stored, strict=True):
        assert {name: found[name] for name in given} == given
        assert found["rolled_up"] is False
        assert found["occurred_at"].tzinfo is UTC


@pytest.mark.parametrize("count", [2, 400])
def test_floats_bytes_booleans_and_renamed_columns(way: Store, count: int) -> None:
    values = bytes(range(256))
    floats = [0.1, 1 / 3, 1e-300, 1.7976931348623157e308, -0.0, 12345678.875]
    rows = [
        {
            "policy": "p",
            "first_minute": number,
            "series_id": 1,
            "last_minute": number,
            "evaluation_class": "breach",
            "extreme": floats[number % len(floats)] if number % 7 else None,
            "values" if number % 3 else "value_array": values[number % 256 :],
        }
        for number in range(count)
    ]
    for row in rows:
        row["values"] = row.pop("value_array", row.get("values"))
    way.write(lambda connection: bulk_insert(connection, PolicyScore, rows))
    with way.read() as connection:
        stored = _stored(connection, PolicyScore, PolicyScore.first_minute)
    assert [row["value_array"] for row in stored] == [row["values"] for row in rows]
    assert [row["extreme"] for row in stored] == [row["extreme"] for row in rows]


def test_a_column_by_its_own_name_or_by_its_attributes(store: Store) -> None:
    def row(name: str) -> dict[str, Any]:
        return {
            "attempt": "a",
            "collector": "c",
            "source": "s",
            "window_start": AT,
            "window_end": AT,
            "status": "ok",
            name: 5,
            "rejected": 0,
            "late": 0,
            "started_at": AT,
            "duration_s": 0.5,
        }

    store.write(lambda connection: bulk_insert(connection, Collection, [row("rows")]))
    store.write(lambda connection: bulk_insert(connection, Collection, [row("row_count")]))
    with store.read() as connection:
        assert connection.scalars(select(Collection.rows)).all() == [5, 5]
    with pytest.raises(RowError, match=r"collection\.row_count is given twice"):
        store.write(
            lambda connection: bulk_insert(
                connection, Collection, [{**row("rows"), "row_count": 1}]
            )
        )


def _requests(count: int) -> pd.DataFrame:
    number = np.arange(count)
    frame = pd.DataFrame(
        {
            "occurred_at": pd.Timestamp("2026-01-31T10:00:00.123456789+08:00")
            + pd.to_timedelta(number, unit="ms"),
            "file_id": 1,
            "byte_offset": number * 2**33,
            "source": "gateway",
            "route": pd.Series(["/a", None, "/ü"] * count, dtype="object")[:count],
            "status": [200.0, None, 504.0] * (count // 3),
            "outcome": "ok",
            "outcome_reason": "status=200",
            "duration_ms": [1.5, np.nan, 0.1] * (count // 3),
            "bytes_sent": pd.array([1, None, 3] * (count // 3), dtype="Int64"),
        }
    )
    return frame


def _arrow(frame: pd.DataFrame) -> pa.Table:
    """The same as an Arrow table of two chunks, and what only Arrow can say of its columns."""
    half = len(frame) // 2
    table = pa.concat_tables(
        pa.Table.from_pandas(part, preserve_index=False) for part in (frame[:half], frame[half:])
    )
    status = pc.cast(table["status"], pa.int32())
    table = table.set_column(table.column_names.index("status"), "status", status)
    nothing = pa.nulls(len(frame))
    return table.append_column("service", nothing).append_column("host", nothing.cast(pa.string()))


@pytest.mark.parametrize("count", [6, 600])
@pytest.mark.parametrize("as_arrow", [False, True])
def test_tables_with_missing_values(way: Store, count: int, as_arrow: bool) -> None:
    frame = _requests(count)
    rows = _arrow(frame) if as_arrow else frame
    assert way.write(lambda connection: bulk_insert(connection, RequestLog, rows)) == count
    with way.read() as connection:
        stored = _stored(connection, RequestLog, RequestLog.byte_offset)
    assert [row["status"] for row in stored[:3]] == [200, None, 504]
    assert [row["duration_ms"] for row in stored[:3]] == [1.5, None, 0.1]
    assert [row["bytes_sent"] for row in stored[:3]] == [1, None, 3]
    assert [row["route"] for row in stored[:3]] == ["/a", None, "/ü"]
    assert stored[0]["occurred_at"] == datetime(2026, 1, 31, 2, 0, 0, 123456, tzinfo=UTC)
    assert stored[-1]["byte_offset"] == (count - 1) * 2**33
    assert {(row["service"], row["host"]) for row in stored} == {(None, None)}


@pytest.mark.parametrize("count", [3, 450])
def test_an_arrow_table_has_the_same_hard_texts(way: Store, count: int) -> None:
    events = [
        {name: value for name, value in row.items() if name != "detail"} for row in _events(count)
    ]
    table = pa.Table.from_pylist(events)
    assert way.write(lambda connection: bulk_insert(connection, MonitorEvent, table)) == count
    with way.read() as connection:
        stored = _stored(connection, MonitorEvent, MonitorEvent.id)
    for given, found in zip(events, stored, strict=True):
        assert {name: found[name] for name in given} == given


@pytest.mark.parametrize(
    ("column", "error"),
    [
        (pa.array(["x" * 256]), r"row 0: monitor_event\.source can't hold 'xxx"),
        (pa.array([5]), "source can't hold 5: not text"),
    ],
)
def test_what_does_not_fit_of_an_arrow_table_is_named(
    sqlite_store: Store, column: pa.Array, error: str
) -> None:
    rows = [{name: value for name, value in row.items() if name != "source"} for row in _events(1)]
    table = pa.Table.from_pylist(rows).append_column("source", column)
    with pytest.raises(RowError, match=error):
        sqlite_store.write(lambda connection: bulk_insert(connection, MonitorEvent, table))


@pytest.mark.parametrize("count", [10, 400])
def test_a_duplicate_raises_and_leaves_nothing(way: Store, count: int) -> None:
    way.write(lambda connection: bulk_insert(connection, MonitorEvent, _events(1)))
    with pytest.raises(IntegrityError):
        way.write(lambda connection: bulk_insert(connection, MonitorEvent, _events(count)))
    with way.read() as connection:
        assert connection.scalar(select(func.count()).select_from(MonitorEvent)) == 1


@pytest.mark.parametrize("count", [10, 400])
def test_duplicates_ignored_are_not_counted(way: Store, count: int) -> None:
    def insert(rows: list[dict[str, Any]]) -> int:
        return way.write(
            lambda connection: bulk_insert(connection, MonitorEvent, rows, on_duplicate="ignore")
        )

    assert insert(_events(5, message="first")) == 5
    twice = _events(count, message="second")
    assert insert(twice + twice[:3]) == count - 5
    assert insert(twice) == 0
    with way.read() as connection:
        messages = connection.scalars(select(MonitorEvent.message).order_by(MonitorEvent.id)).all()
    assert messages == ["first"] * 5 + ["second"] * (count - 5)


@pytest.mark.parametrize("count", [10, 400])
@pytest.mark.parametrize("on_duplicate", ["raise", "ignore"])
def test_nothing_but_duplicates_is_ignored(way: Store, count: int, on_duplicate: Any) -> None:
    rows = _events(count)
    rows[-1]["source"] = None
    with pytest.raises(IntegrityError):
        way.write(
            lambda connection: bulk_insert(
                connection, MonitorEvent, rows, on_duplicate=on_duplicate
            )
        )
    with way.read() as connection:
        assert connection.scalar(select(func.count()).select_from(MonitorEvent)) == 0


@pytest.mark.mariadb
def test_a_warning_rolls_back_to_insert(mariadb_store: Store) -> None:
    """A value that only the server finds wrong: LOAD DATA would have stored the first ten."""

    def work(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE event_minute ADD CONSTRAINT few CHECK (events < 10)"))
        rows = [{"minute": 1, "series_id": number, "events": number} for number in range(300)]
        try:
            with pytest.raises(Exception, match="few"):
                bulk_insert(connection, EventMinute, rows)
            assert connection.scalar(select(func.count()).select_from(EventMinute)) == 0
        finally:
            connection.execute(text("ALTER TABLE event_minute DROP CONSTRAINT few"))

    mariadb_store.write(work)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"nonsense": 1}, "monitor_event has no column 'nonsense'; it has id,"),
        ({"source": "x" * 256}, r"row 0: monitor_event\.source can't hold 'xxx.*at most 255 fit"),
        ({"source": 5}, "source can't hold 5: not text"),
        ({"message": "\udc80"}, "message can't hold .*surrogates not allowed"),
        ({"detail": {"x": float("nan")}}, "detail can't hold .*not JSON compliant"),
        ({"detail": {"x": AT}}, "detail can't hold .*not JSON serializable"),
        ({"rolled_up": "yes"}, "rolled_up can't hold 'yes': not a boolean"),
        ({"occurred_at": "2026-01-31"}, "occurred_at can't hold '2026-01-31': not a datetime"),
    ],
)
def test_what_does_not_fit_is_named(store: Store, change: dict[str, Any], error: str) -> None:
    with pytest.raises(RowError, match=error):
        store.write(lambda connection: bulk_insert(connection, MonitorEvent, _events(1, **change)))


@pytest.mark.parametrize("events", [2**31, 1.5, "1", float("inf")])
def test_integers_that_do_not_fit(store: Store, events: Any) -> None:
    rows = [{"minute": 1, "series_id": 1, "events": events}]
    with pytest.raises(RowError, match=r"row 0: event_minute\.events can't hold"):
        store.write(lambda connection: bulk_insert(connection, EventMinute, rows))


@pytest.mark.parametrize("as_frame", [False, True])
def test_naive_datetimes_are_refused(store: Store, as_frame: bool) -> None:
    rows: Any = _events(1, occurred_at=AT.replace(tzinfo=None))
    with pytest.raises(NaiveDatetimeError, match="has no time zone"):
        store.write(
            lambda connection: bulk_insert(
                connection, MonitorEvent, pd.DataFrame(rows) if as_frame else rows
            )
        )


@pytest.mark.parametrize(
    "rows",
    [
        [],
        pd.DataFrame({"minute": [], "series_id": [], "events": []}),
        pd.DataFrame(),
        pa.table({"minute": [], "series_id": [], "events": []}),
    ],
    ids=["list", "frame", "empty-frame", "arrow"],
)
def test_nothing_to_insert(store: Store, rows: Any) -> None:
    assert store.write(lambda connection: bulk_insert(connection, EventMinute, rows)) == 0


@pytest.mark.mariadb
@pytest.mark.parametrize("driver", ["mysql+mysqldb", "mysql+pymysql"])
def test_each_driver_loads(
    mariadb_store: Store, mariadb_server: MariaDbServer, driver: str
) -> None:
    store = open_store(mariadb_server.url("userdb_test", driver))
    before = _loads(store)
    assert store.write(lambda c: bulk_insert(c, MonitorEvent, _events(300))) == 300
    assert _loads(store) == before + 1
    with store.read() as connection:
        stored = _stored(connection, MonitorEvent, MonitorEvent.id)
    assert [row["message"] for row in stored] == [row["message"] for row in _events(300)]
    store.close()


def _loads(store: Store) -> int:
    """How many LOAD DATA statements the server has run."""
    with store.read() as connection:
        return int(connection.execute(text("SHOW GLOBAL STATUS LIKE 'Com_load'")).one()[1])
