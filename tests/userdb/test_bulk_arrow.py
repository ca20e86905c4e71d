"""Bulk inserts of Arrow tables: the same rows as those of mappings, on both dialects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from tests.servers.mariadb import MariaDbServer
from userdb.bulk import bulk_insert
from userdb.errors import RowError
from userdb.models import RequestLog
from userdb.store import Store

AT = datetime(2026, 1, 31, 10, tzinfo=UTC)
_SCHEMA = pa.schema(
    [
        ("occurred_at", pa.timestamp("us", "UTC")),
        ("file_id", pa.int64()),
        ("byte_offset", pa.int64()),
        ("source", pa.string()),
        ("method", pa.string()),
        ("path", pa.string()),
        ("status", pa.int32()),
        ("outcome", pa.string()),
        ("outcome_reason", pa.string()),
        ("duration_ms", pa.float64()),
        ("bytes_sent", pa.int64()),
        ("user", pa.string()),
    ]
)
_TEXT = st.one_of(
    st.none(),
    st.sampled_from(["", "\\N", "\\", "a\tb", "line\n", "\r", "NUL \0", "é漢😀", "NULL", '"q"']),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "method": _TEXT,
            "path": _TEXT,
            "user": _TEXT,
            "status": st.one_of(st.none(), st.integers(0, 999)),
            "duration_ms": st.one_of(
                st.none(), st.floats(0, 1e9, allow_nan=False), st.just(float("nan"))
            ),
            "bytes_sent": st.one_of(st.none(), st.integers(0, 2**42)),
        }
    ),
    min_size=1,
    max_size=12,
)


def _rows(some: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [
        {
            "occurred_at": AT + timedelta(microseconds=7 * number),
            "file_id": 1,
            "byte_offset": number,
            "source": "gateway",
            "outcome": "ok",
            "outcome_reason": "status=200",
            **some[number % len(some)],
        }
        for number in range(count)
    ]


def _insert_and_read(store: Store, rows: Any) -> list[dict[str, Any]]:
    store.write(lambda connection: connection.execute(delete(RequestLog)))
    store.write(lambda connection: bulk_insert(connection, RequestLog, rows))
    columns = [RequestLog.__table__.columns[name] for name in _SCHEMA.names]
    with store.read() as connection:
        found = connection.execute(select(*columns).order_by(RequestLog.byte_offset)).mappings()
        return [dict(row) for row in found]


@pytest.mark.parametrize("way", ["load data", "insert"])
def test_an_arrow_table_gives_the_rows_of_mappings(
    store: Store, way: str, request: pytest.FixtureRequest
) -> None:
    if way == "insert" and not store.is_sqlite:
        server: MariaDbServer = request.getfixturevalue("mariadb_server")
        server.execute("SET GLOBAL local_infile = 0")
        request.addfinalizer(lambda: server.execute("SET GLOBAL local_infile = 1"))

    @settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
    @given(some=_ROWS, count=st.sampled_from([3, 250]), parts=st.integers(1, 3))
    def check(some: list[dict[str, Any]], count: int, parts: int) -> None:
        rows = _rows(some, count)
        table = pa.concat_tables(
            pa.Table.from_pylist(rows[part::parts], _SCHEMA) for part in range(parts)
        )
        assert _insert_and_read(store, table) == _insert_and_read(store, rows)

    check()


def test_times_finer_than_microseconds_are_cut_off(sqlite_store: Store) -> None:
    rows = _rows([{}], 2)
    table = pa.Table.from_pylist(rows, _SCHEMA)
    fine = pa.array([-1, 1_769_853_600_123_456_789], pa.timestamp("ns", "UTC"))
    found = _insert_and_read(sqlite_store, table.set_column(0, "occurred_at", fine))
    assert [row["occurred_at"] for row in found] == [
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 1, 31, 10, 0, 0, 123_456, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        ("method", "M" * 33, "row 3: request_log.method can't hold .* at most 32 fit"),
        ("bytes_sent", float("inf"), "row 3: request_log.bytes_sent can't hold inf"),
        ("duration_ms", float("inf"), "row 3: request_log.duration_ms can't hold inf"),
        ("status", 1 << 40, "row 3: request_log.status can't hold 1099511627776"),
    ],
)
def test_what_does_not_fit_is_named(
    sqlite_store: Store, column: str, value: Any, error: str
) -> None:
    table = pa.Table.from_pylist(_rows([{}], 5), _SCHEMA)
    kind = {int: pa.int64(), float: pa.float64(), str: pa.string()}[type(value)]
    values = pa.array([None, None, None, value, None], kind)
    table = table.set_column(_SCHEMA.names.index(column), column, values)
    with pytest.raises(RowError, match=error):
        sqlite_store.write(lambda connection: bulk_insert(connection, RequestLog, table))
