"""Replace what userdb holds of one source file in a range of minutes by what was parsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, String, cast, delete, func, select

from include.collectors.request_logs.mapping import quoted
from include.collectors.request_logs.spans import Slice, minutes_in, slices_of, spans_of
from include.collectors.request_logs.statements import SUMS
from userdb.bulk import bulk_insert
from userdb.ledger import mark_dirty, spans
from userdb.models import RequestLog, RequestMinute, Series
from userdb.read import read_columns
from userdb.series import Labels, fingerprint, intern_series, touch_series
from userdb.store import Store
from userdb.times import from_minute

FAMILY = "request"
#: Rows inserted in one transaction; as many may be deleted in it. SQLite's must stay short.
_ROWS_SQLITE = 9_000
_ROWS_SERVER = 100_000
#: Columns of request_minute beside its key.
_COUNTS = [
    *(name for name in SUMS if name != "latency_us"),
    "latency_sum_ms",
    "latency_max_ms",
]


@dataclass(frozen=True)
class Replaced:
    """What replacing did: minutes changed, and requests that were new before the window."""

    changed: int
    late: int


def replace_minutes(
    store: Store,
    parsed: duckdb.DuckDBPyConnection,
    *,
    source: str,
    file_id: int,
    first: int,
    window_first: int,
    stop: int,
) -> Replaced:
    """Make userdb hold of ``file_id``, in the minutes [first, stop), what ``parsed`` holds.

    ``parsed`` has the tables that ``Parser.parse`` fills. Minutes that are the same already are
    not written. Each transaction leaves whole minutes, raw rows before counts, and marks them.
    """
    changed = late = 0
    for low, high in spans_of(parsed, first, stop):
        replaced = _replace_span(store, parsed, source, file_id, (low, high), window_first)
        changed += replaced.changed
        late += replaced.late
    return Replaced(changed, late)


def _replace_span(
    store: Store,
    parsed: duckdb.DuckDBPyConnection,
    source: str,
    file_id: int,
    span: tuple[int, int],
    window_first: int,
) -> Replaced:
    fresh, labels = _fresh(parsed, source, span)
    stored = _stored(store, file_id, span)
    counted = _different(fresh, stored)
    raw = _different(
        _frame(
            parsed,
            "SELECT minute, count(*) AS requests, sum(byte_offset)::BIGINT AS offsets "
            f"FROM request WHERE {minutes_in(span)} GROUP BY minute",
        ),
        _stored_raw(store, file_id, span),
    )
    limit = _ROWS_SQLITE if store.is_sqlite else _ROWS_SERVER
    for part in slices_of(parsed, fresh, counted | raw, span, limit):
        rows = _raw_rows(parsed, part, source, file_id)
        minutes = fresh[fresh["minute"].isin(part.minutes)]
        dirty = [minute for minute in part.minutes if minute in counted]

        def work(
            connection: Connection,
            part: Slice = part,
            rows: pa.Table = rows,
            minutes: pd.DataFrame = minutes,
            dirty: Sequence[int] = dirty,
        ) -> None:
            _replace_raw(connection, file_id, part, rows)
            if dirty:
                _replace_counts(connection, file_id, minutes, dirty, labels)
                mark_dirty(connection, FAMILY, dirty)

        store.write(work)
    return Replaced(len(counted), _late(fresh, stored, window_first))


def _table(parsed: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    return parsed.sql(sql).to_arrow_table()


def _frame(parsed: duckdb.DuckDBPyConnection, sql: str) -> pd.DataFrame:
    # by way of Arrow: DuckDB's own .df() uses what pandas 3 warns of
    frame: pd.DataFrame = _table(parsed, sql).to_pandas(integer_object_nulls=True)
    return frame


def _fresh(
    parsed: duckdb.DuckDBPyConnection, source: str, span: tuple[int, int]
) -> tuple[pd.DataFrame, dict[str, Labels]]:
    """Parsed counts by ``minute`` and ``mark`` (a label set's fingerprint), and the label sets."""
    sums = ", ".join(f"sum({name})::BIGINT AS {name}" for name in SUMS)
    counts = _table(
        parsed,
        f"""
        SELECT minute, service, route, instance, {sums}, max(latency_max_ms) AS latency_max_ms
        FROM part WHERE {minutes_in(span)} GROUP BY minute, service, route, instance ORDER BY ALL
        """,
    )
    names = ("service", "route", "instance")
    keys = list(zip(*(counts[name].to_pylist() for name in names), strict=True))
    labels: dict[str, Labels] = {}
    marks: dict[tuple[str | None, ...], str] = {}
    for key in set(keys):
        found = {name: value for name, value in zip(names, key, strict=True) if value}
        marks[key] = fingerprint({**found, "source": source})
        labels[marks[key]] = {**found, "source": source}
    frame: pd.DataFrame = counts.drop_columns(list(names)).to_pandas()
    frame["mark"] = pd.Series([marks[key] for key in keys], dtype="object")
    frame["latency_sum_ms"] = frame["latency_us"].to_numpy(dtype=np.float64) / 1000
    return frame[["minute", "mark", *_COUNTS]], labels


def _stored(store: Store, file_id: int, span: tuple[int, int]) -> pd.DataFrame:
    columns = [getattr(RequestMinute, name) for name in _COUNTS]
    return read_columns(
        store,
        select(RequestMinute.minute, Series.fingerprint.label("mark"), *columns)
        .join(Series, Series.id == RequestMinute.series_id)
        .where(
            RequestMinute.file_id == file_id,
            RequestMinute.minute >= span[0],
            RequestMinute.minute < span[1],
        ),
    )


def _stored_raw(store: Store, file_id: int, span: tuple[int, int]) -> pd.DataFrame:
    """Number of raw rows and sum of their offsets, by minute."""
    minute = func.substr(cast(RequestLog.occurred_at, String), 1, 16)
    with store.read() as connection:
        rows = connection.execute(
            select(minute, func.count(), func.sum(RequestLog.byte_offset))
            .where(
                RequestLog.file_id == file_id,
                RequestLog.occurred_at >= from_minute(span[0]),
                RequestLog.occurred_at < from_minute(span[1]),
            )
            .group_by(minute)
        ).all()
    text = pd.to_datetime(pd.Series([row[0] for row in rows], dtype="object"), utc=True)
    return pd.DataFrame(
        {
            "minute": text.astype("datetime64[s, UTC]").astype("int64") // 60,
            "requests": np.array([int(row[1]) for row in rows], dtype=np.int64),
            "offsets": np.array([int(row[2]) for row in rows], dtype=np.int64),
        }
    )


def _different(fresh: pd.DataFrame, stored: pd.DataFrame) -> set[int]:
    """Minutes whose rows are not the same in both frames (same columns; rows are distinct)."""
    both = pd.concat(
        [
            frame.astype(
                {
                    name: "object" if name == "mark" else "float64" if "_ms" in name else "int64"
                    for name in fresh.columns
                }
            )
            for frame in (fresh, stored[list(fresh.columns)])
        ]
    )
    return {int(minute) for minute in both[~both.duplicated(keep=False)]["minute"]}


def _late(fresh: pd.DataFrame, stored: pd.DataFrame, window_first: int) -> int:
    now, before = (
        frame[frame["minute"] < window_first].groupby("minute")["requests"].sum()
        for frame in (fresh, stored)
    )
    return int(now.sub(before, fill_value=0).clip(lower=0).sum())


def _raw_rows(
    parsed: duckdb.DuckDBPyConnection, part: Slice, source: str, file_id: int
) -> pa.Table:
    return _table(
        parsed,
        "SELECT make_timestamptz(at_us) AS occurred_at, * EXCLUDE (at_us, minute), "
        f"{file_id} AS file_id, {quoted(source)} AS source FROM request "
        f"WHERE at_us >= {part.low_us} AND at_us < {part.high_us} ORDER BY at_us, byte_offset",
    )


def _replace_raw(connection: Connection, file_id: int, part: Slice, rows: pa.Table) -> None:
    low, high = (
        pd.Timestamp(at, unit="us", tz="UTC").to_pydatetime() for at in (part.low_us, part.high_us)
    )
    connection.execute(
        delete(RequestLog).where(
            RequestLog.file_id == file_id,
            RequestLog.occurred_at >= low,
            RequestLog.occurred_at < high,
        )
    )
    bulk_insert(connection, RequestLog, rows)


def _replace_counts(
    connection: Connection,
    file_id: int,
    fresh: pd.DataFrame,
    minutes: Sequence[int],
    labels: dict[str, Labels],
) -> None:
    for low, high in spans(minutes):
        connection.execute(
            delete(RequestMinute).where(
                RequestMinute.file_id == file_id,
                RequestMinute.minute >= low,
                RequestMinute.minute <= high,
            )
        )
    rows = fresh[fresh["minute"].isin(minutes)]
    if rows.empty:
        return
    series = intern_series(connection, FAMILY, [labels[mark] for mark in rows["mark"].unique()])
    bulk_insert(
        connection,
        RequestMinute,
        rows.assign(series_id=rows["mark"].map(series), file_id=file_id).drop(columns="mark"),
    )
    life = rows.groupby(rows["mark"].map(series))["minute"].agg(["min", "max"])
    touch_series(
        connection,
        {int(key): (int(low), int(high)) for key, low, high in life.itertuples()},
    )
