"""Requests as JSON, CSV or Parquet, a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import typer

from include.collectors.request_logs.parse import COLUMNS

_TYPES = {
    "time": pa.timestamp("us", "UTC"),
    "status": pa.int32(),
    "duration_ms": pa.float64(),
    "bytes": pa.int64(),
}
#: Of Parquet files; in JSON and CSV times are RFC 3339.
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in COLUMNS])
_WITH_TEXT_TIME = (
    "SELECT * REPLACE (strftime(time AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ') AS time) "
    "FROM requests"
)

#: Takes a table with the columns ``COLUMNS``.
Write = Callable[[pa.Table], None]


class _Texts:
    """Tables whose times become text, in DuckDB: Python objects are what would take long."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")

    def query(self, sql: str, requests: pa.Table) -> pa.Table:
        self._connection.register("requests", requests)
        return self._connection.sql(sql).to_arrow_table()


@contextmanager
def _json(out: IO[bytes]) -> Iterator[Write]:
    """An object a line, with every column; null where the log doesn't tell."""
    texts = _Texts()
    members = ", ".join(f'"{name}" := "{name}"' for name in COLUMNS)
    sql = f"SELECT to_json(struct_pack({members}))::VARCHAR AS line FROM ({_WITH_TEXT_TIME})"

    def write(rows: pa.Table) -> None:
        for line in texts.query(sql, rows)["line"].to_pylist():
            out.write(line.encode() + b"\n")

    yield write


@contextmanager
def _csv(out: IO[bytes]) -> Iterator[Write]:
    """A header, and a line a request; an empty value where the log doesn't tell."""
    texts = _Texts()
    schema = pa.schema([("time", pa.string()), *list(SCHEMA)[1:]])
    with pa_csv.CSVWriter(out, schema) as writer:
        yield lambda rows: writer.write_table(texts.query(_WITH_TEXT_TIME, rows).cast(schema))


@contextmanager
def _parquet(out: IO[bytes]) -> Iterator[Write]:
    if out.isatty():
        raise typer.BadParameter("parquet is no text; send it to a file: > requests.parquet")
    with pa_parquet.ParquetWriter(out, SCHEMA, compression="zstd") as writer:
        yield lambda rows: writer.write_table(rows.cast(SCHEMA))


WRITERS: dict[str, Callable[[IO[bytes]], AbstractContextManager[Write]]] = {
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
}
