"""Replace what userdb holds of one source file in a range of minutes by what was parsed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, String, cast, delete, func, select

from include.collectors.request_logs.mapping import quoted
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
#: Rows of counts, and minutes, that are compared at once: it bounds memory, however long a window.
_COUNTED = 50_000
_MINUTES = 1_440
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


@dataclass(frozen=True)
class _Slice:
    """What one transaction replaces: raw rows in [low_us, high_us), and whole minutes."""

    low_us: int
    high_us: int
    minutes: tuple[int, ...]


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
    for low, high in _spans(parsed, first, stop):
        replaced = _replace_span(store, parsed, source, file_id, (low, high), window_first)
        changed += replaced.changed
        late += replaced.late
    return Replaced(changed, late)


def _spans(parsed: duckdb.DuckDBPyConnection, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """[first, stop), cut into ranges of minutes that are replaced one after the other."""
    counts = parsed.execute("SELECT minute, count(*) FROM part GROUP BY 1 ORDER BY 1").fetchall()
    low, held = first, 0
    for minute, rows in counts:
        if minute > low and held + rows > _COUNTED:
            yield low, minute
            low, held = minute, 0
        while minute - low >= _MINUTES:
            yield low, low + _MINUTES
            low, held = low + _MINUTES, 0
        held += rows
    while stop - low > _MINUTES:
        yield low, low + _MINUTES
        low += _MINUTES
    yield low, stop


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
            f"FROM request WHERE {_in(span)} GROUP BY minute",
        ),
        _stored_raw(store, file_id, span),
    )
    limit = _ROWS_SQLITE if store.is_sqlite else _ROWS_SERVER
    for part in _slices(parsed, fresh, counted | raw, span, limit):
        rows = _raw_rows(parsed, part, source, file_id)
        minutes = fresh[fresh["minute"].isin(part.minutes)]
        dirty = [minute for minute in part.minutes if minute in counted]

        def work(
            connection: Connection,
            part: _Slice = part,
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


def _in(span: tuple[int, int]) -> str:
    return f"minute >= {span[0]} AND minute < {span[1]}"


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
        FROM part WHERE {_in(span)} GROUP BY minute, service, route, instance ORDER BY ALL
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


def _slices(
    parsed: duckdb.DuckDBPyConnection,
    fresh: pd.DataFrame,
    changed: set[int],
    span: tuple[int, int],
    limit: int,
) -> Iterator[_Slice]:
    """``changed`` minutes in order, so many at once that ``limit`` is kept.

    A minute with more raw rows is split: what comes before its last part has raw rows alone.
    """
    raw = dict(
        parsed.execute(
            f"SELECT minute, count(*) FROM request WHERE {_in(span)} GROUP BY 1"
        ).fetchall()
    )
    counts = fresh.groupby("minute").size().to_dict()
    pending: list[int] = []
    held = 0
    for minute in sorted(changed):
        size = raw.get(minute, 0) + counts.get(minute, 0)
        # a slice deletes raw rows by one range of time: its minutes follow each other
        if pending and (held + size > limit or minute != pending[-1] + 1):
            yield _whole(pending)
            pending, held = [], 0
        if size <= limit:
            pending.append(minute)
            held += size
            continue
        low = minute * 60_000_000
        for high in _cuts(parsed, minute, limit - min(counts.get(minute, 0), limit // 2)):
            yield _Slice(low, high, ())
            low = high
        yield _Slice(low, (minute + 1) * 60_000_000, (minute,))
    if pending:
        yield _whole(pending)


def _whole(minutes: list[int]) -> _Slice:
    return _Slice(minutes[0] * 60_000_000, (minutes[-1] + 1) * 60_000_000, tuple(minutes))


def _cuts(parsed: duckdb.DuckDBPyConnection, minute: int, limit: int) -> list[int]:
    """Times that split a minute's raw rows into parts of at most ``limit``.

    Rows of the same microsecond (of a format with whole seconds: of a second) stay together.
    """
    rows = parsed.execute(
        f"SELECT at_us, count(*) FROM request WHERE minute = {minute} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    cuts, held = [], 0
    for at, count in rows:
        if held and held + count > limit:
            cuts.append(at)
            held = 0
        held += count
    return cuts


def _raw_rows(
    parsed: duckdb.DuckDBPyConnection, part: _Slice, source: str, file_id: int
) -> pa.Table:
    return _table(
        parsed,
        "SELECT make_timestamptz(at_us) AS occurred_at, * EXCLUDE (at_us, minute), "
        f"{file_id} AS file_id, {quoted(source)} AS source FROM request "
        f"WHERE at_us >= {part.low_us} AND at_us < {part.high_us} ORDER BY at_us, byte_offset",
    )


def _replace_raw(connection: Connection, file_id: int, part: _Slice, rows: pa.Table) -> None:
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
