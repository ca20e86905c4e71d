"""Long ranges of a minute table: the same arrays as a plain cursor gives, on both dialects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text

from userdb import bulk_read
from userdb.bulk import bulk_insert
from userdb.bulk_read import read_minutes
from userdb.models import ContainerSample, RequestMinute
from userdb.number_codes import MysqlDialect, encodings
from userdb.read import read_columns
from userdb.store import Store

TABLE = RequestMinute.__table__
COUNTS = [
    column.name
    for column in TABLE.columns
    if column.name not in ("minute", "series_id", "file_id", "latency_sum_ms", "latency_max_ms")
]
COLUMNS = [column.name for column in TABLE.columns]
INT32, INT64 = 2**31 - 1, 2**63 - 1


def _row(minute: int, series: int = 1, **values: Any) -> dict[str, Any]:
    return {
        "minute": minute,
        "series_id": series,
        "file_id": 1,
        **dict.fromkeys(COUNTS, 0),
        "latency_sum_ms": 0.0,
        "latency_max_ms": None,
        **values,
    }


def _put(store: Store, rows: list[dict[str, Any]]) -> None:
    store.write(lambda connection: bulk_insert(connection, RequestMinute, rows))


def _assert_same(store: Store, first: int, stop: int, model: Any = RequestMinute, **options) -> int:
    table = model.__table__
    columns = options.pop("columns", COLUMNS)
    found = read_minutes(store, table, columns, first, stop, **options)
    query = select(*(table.c[name] for name in columns)).where(
        table.c.minute >= first, table.c.minute < stop
    )
    if "series" in options:
        query = query.where(table.c.series_id.in_(options["series"]))
    expected = read_columns(store, query.order_by(*table.primary_key))
    assert list(found) == columns
    for name in columns:
        assert found[name].dtype == expected[name].dtype, name
        np.testing.assert_array_equal(found[name], expected[name].to_numpy(), err_msg=name)
    return len(expected)


def test_whole_range_in_the_order_of_the_key(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_read, "_ROWS", 300)
    random = np.random.default_rng(1)
    rows = [
        _row(
            minute,
            series,
            requests=int(random.integers(0, INT32)),
            bytes_sent=int(random.integers(0, INT64)),
            le_inf=minute,
            latency_sum_ms=float(random.exponential(1e4)),
            latency_max_ms=None if series == 3 else float(random.integers(0, 99)),
        )
        for minute in [*range(100, 400), *range(5000, 5100)]
        for series in (9, 1, 3, 2)
    ]
    _put(store, rows)
    assert _assert_same(store, 0, 10_000) == 1600
    assert _assert_same(store, 101, 5099) == 1592
    assert _assert_same(store, 0, 10_000, series=[2, 9]) == 800
    assert _assert_same(store, 0, 10_000, series=[]) == 0


@pytest.mark.parametrize("columns", [COLUMNS, ["requests"], ["latency_max_ms", "minute"]])
def test_no_rows_have_the_dtypes_of_rows(store: Store, columns: list[str]) -> None:
    assert _assert_same(store, 0, 100, columns=columns) == 0


@pytest.mark.parametrize(
    "value",
    [
        0.1 + 0.2,
        math.pi,
        1 / 3,
        1e-3,
        2.0**-10,
        math.nextafter(2.0**-10, 0),  # its last bits are below 2^-62
        5e-324,
        2.0**-63,
        1.7976931348623157e308,
        2.0**53 + 2,
        2.0**62,
        math.nextafter(2.0**62, 0),
        2.0**63,
        -0.5,
        -3.0,
        -1e300,
        123456.789,
    ],
)
def test_a_float_comes_back_bit_by_bit(store: Store, value: float) -> None:
    _put(
        store, [_row(1, latency_sum_ms=value, latency_max_ms=value), _row(2), _row(3, bytes_sent=1)]
    )
    _assert_same(store, 0, 10)
    found = read_minutes(store, TABLE, ["latency_sum_ms"], 0, 10)["latency_sum_ms"]
    assert found[0].hex() == value.hex()


@pytest.mark.mariadb
@pytest.mark.parametrize("value", [2.0**62, 2.0**63, 1e19, 1.7976931348623157e308, -1e300])
def test_no_cast_is_out_of_range(mariadb_store: Store, value: float) -> None:
    # MariaDB only warns; MySQL would refuse
    _put(mariadb_store, [_row(1, latency_sum_ms=value)])
    with mariadb_store.read() as connection:
        for encoding in encodings(TABLE.c.latency_sum_ms, MysqlDialect()):
            codes = ", ".join((*encoding.codes, encoding.check))
            connection.execute(text(f"SELECT {codes} FROM request_minute"))
            assert connection.execute(text("SHOW WARNINGS")).all() == []


@given(
    values=st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.floats(min_value=0, max_value=1e9),
            st.integers(-INT64 - 1, INT64),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_any_values_come_back(store: Store, values: list[tuple[float, float | None, int]]) -> None:
    store.write(lambda connection: connection.execute(delete(RequestMinute)))
    _put(
        store,
        [
            _row(at, latency_sum_ms=total, latency_max_ms=most, bytes_sent=sent)
            for at, (total, most, sent) in enumerate(values)
        ],
    )
    assert _assert_same(store, 0, 100) == len(values)


def _sample(minute: int, **values: Any) -> dict[str, Any]:
    from tests.userdb.test_read import AT

    return {
        "minute": minute,
        "series_id": 1,
        "observed_at": AT,
        "container_id": "c",
        "state": "running",
        "restarts": 0,
        "running": 1,
        **values,
    }


@pytest.mark.parametrize(
    "number",
    [0, 0xD7FF, 0xD800, 0xDFFF, 0xFFFD, 2**20, 0x10FFFF, 0x110000, 2**24 - 1, 2**24, INT32],
)
def test_a_number_at_the_edge_of_a_code(store: Store, number: int) -> None:
    _put(store, [_row(1, requests=number, bytes_sent=number), _row(2)])
    assert _assert_same(store, 0, 10) == 2


@pytest.mark.parametrize("memory", [2**20, 2**40, INT64, -INT64 - 1, -5])
def test_nulls_of_whole_numbers(store: Store, memory: int) -> None:
    rows = [_sample(1, memory_bytes=memory, oom_killed=True, cpu_percent=12.5), _sample(2)]
    store.write(lambda connection: bulk_insert(connection, ContainerSample, rows))
    columns = ["minute", "memory_bytes", "oom_killed", "cpu_percent", "running"]
    assert _assert_same(store, 0, 10, ContainerSample, columns=columns) == 2


def test_a_column_of_another_type_is_refused(store: Store) -> None:
    with pytest.raises(TypeError, match=r"container_sample\.state .* read_columns"):
        read_minutes(store, ContainerSample.__table__, ["minute", "state"], 0, 10)


def test_on_a_transactions_own_connection(store: Store) -> None:
    def work(connection) -> Any:
        connection.execute(insert(RequestMinute), [_row(1, requests=7)])
        assert not len(read_minutes(store, TABLE, ["requests"], 0, 9)["requests"])
        return read_minutes(store, TABLE, ["requests"], 0, 9, connection=connection)

    assert store.write(work)["requests"].tolist() == [7]


@pytest.mark.mariadb
def test_a_text_that_a_server_cuts_is_read_in_smaller_ranges(
    mariadb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_read, "_MAX_TEXT", 4000)
    monkeypatch.setattr(bulk_read._Reader, "_plain", lambda *_: pytest.fail("read by a cursor"))
    _put(mariadb_store, [_row(minute, series) for minute in range(50) for series in range(20)])
    assert _assert_same(mariadb_store, 0, 60) == 1000
