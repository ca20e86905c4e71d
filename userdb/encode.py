"""Rows as columns of values that a database driver takes, checked against the model.

SQLite takes any text and any number into any column; MySQL doesn't. The checks here make both
refuse the same rows, with an error that names column and row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    String,
    Text,
    inspect,
)
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.types import TypeEngine

from userdb.errors import NaiveDatetimeError, RowError
from userdb.models.base import Base
from userdb.times import require_aware
from userdb.types import UtcDateTime

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Rows: TypeAlias = pd.DataFrame | pa.Table | Sequence[Mapping[str, Any]]

_ABSENT = object()


@dataclass(frozen=True)
class Field:
    """A column and its values: None, int, float, str or bytes."""

    column: Column[Any]
    values: list[Any]

    @property
    def binary(self) -> bool:
        return isinstance(self.column.type, LargeBinary)


def encode_columns(model: type[Base], rows: Rows) -> list[Field]:
    """One field for each column of ``model`` that ``rows`` or a Python default fill.

    Raises:
        RowError: a column that the model doesn't have, or a value that doesn't fit its column.
    """
    mapper = inspect(model)
    columns: dict[str, Column[Any]] = {}
    for attribute in mapper.column_attrs:
        column: Column[Any] = attribute.columns[0]  # type: ignore[assignment]
        columns[attribute.key] = columns.setdefault(column.name, column)
    given = _as_lists(rows)
    count = len(rows)
    data: dict[Column[Any], list[Any]] = {}
    for name, values in given.items():
        found = columns.get(name)
        if found is None:
            raise RowError(
                f"{model.__tablename__} has no column {name!r}; it has {', '.join(columns)}"
            )
        if found in data:
            raise RowError(f"{model.__tablename__}.{found.name} is given twice, once as {name!r}")
        data[found] = values
    if count:
        for column in columns.values():
            default = _default(column)
            if default is not None and column not in data:
                data[column] = [default] * count
    return [Field(column, _encode(column, values)) for column, values in data.items()]


def _as_lists(rows: Rows) -> dict[str, list[Any]]:
    if not isinstance(rows, Sequence):
        if hasattr(rows, "column_names"):
            return {name: _arrow_list(rows[name]) for name in rows.column_names}
        return {str(name): _series_list(rows[name]) for name in rows.columns}
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, _ABSENT) for row in rows] for name in names}


class _UtcTexts(list[Any]):
    """Datetimes that are text already, as the database holds them."""


def _series_list(series: pd.Series[Any]) -> list[Any]:
    if str(series.dtype).startswith("datetime64[") and series.dt.tz is not None:
        import numpy as np

        naive = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        # NumPy cuts nanoseconds off, towards the past
        texts = np.datetime_as_string(naive.astype("datetime64[us]")).tolist()
        return _UtcTexts(None if t == "NaT" else t.replace("T", " ") for t in texts)
    # Python's own numbers and datetimes; pandas.NA and NaT stay as they are
    return series.tolist()


def _arrow_list(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa

    if column.null_count == len(column):
        return [None] * len(column)
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        # not safe: cuts nanoseconds off
        utc = column.cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.timestamp("us"))
        return _UtcTexts(utc.cast(pa.string()).to_pylist())
    if pa.types.is_string(kind) or (pa.types.is_primitive(kind) and not column.null_count):
        # several times as fast as to_pylist, which makes an object of every value first
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    return list(column.to_pylist())


def _default(column: Column[Any]) -> Any:
    default = column.default
    return default.arg if isinstance(default, ScalarElementColumnDefault) else None


def _encode(column: Column[Any], values: list[Any]) -> list[Any]:
    convert = _converter(column)
    if convert is _datetime and isinstance(values, _UtcTexts):
        return values
    if _fits(column, values):
        return values
    default = _default(column)
    encoded: list[Any] = []
    for row, value in enumerate(values):
        if value is _ABSENT:
            encoded.append(None if default is None else convert(default))
        elif _is_null(value):
            encoded.append(None)
        else:
            try:
                encoded.append(convert(value))
            except NaiveDatetimeError:
                raise
            except (TypeError, ValueError, OverflowError) as error:
                shown = repr(value)
                shown = shown if len(shown) <= 80 else shown[:77] + "..."
                raise RowError(
                    f"row {row}: {column.table.name}.{column.name} can't hold {shown}: {error}"
                ) from error
    return encoded


def _fits(column: Column[Any], values: list[Any]) -> bool:
    """Whether the values may go to the driver as they are; a look at all of them at once."""
    types = set(map(type, values))
    kind = column.type
    if isinstance(kind, Integer) and types <= {int, NoneType}:
        limit = 2 ** (63 if isinstance(kind, BigInteger) else 31)
        numbers = _present(values, types)
        return bool(-limit <= min(numbers, default=0) and max(numbers, default=0) < limit)
    if isinstance(kind, Float) and types <= {float, NoneType}:
        return all(map(math.isfinite, _present(values, types)))
    if isinstance(kind, String) and types <= {str, NoneType}:
        texts = set(values) - {None}
        longest = max(map(len, texts), default=0)
        # what isn't ASCII may hold a lone surrogate
        return (isinstance(kind, Text) or kind.length is None or longest <= kind.length) and all(
            map(str.isascii, texts)
        )
    return False


def _present(values: list[Any], types: set[type]) -> list[Any]:
    return [value for value in values if value is not None] if NoneType in types else values


def _is_null(value: Any) -> bool:
    # without pandas, which whoever inserts mappings may not have
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _converter(column: Column[Any]) -> Callable[[Any], Any]:
    kind = column.type
    if isinstance(kind, Integer):
        return _integer(64 if isinstance(kind, BigInteger) else 32)
    if isinstance(kind, String):
        return _text(None if isinstance(kind, Text) else kind.length)
    for known, convert in _CONVERTERS:
        if isinstance(kind, known):
            return convert
    raise RowError(f"{column.table.name}.{column.name}: type {kind} can't be inserted in bulk")


def _datetime(value: Any) -> str:
    if not isinstance(value, datetime):
        raise TypeError("not a datetime")
    # pandas' Timestamp has nanoseconds too: they are cut off
    return require_aware(value).replace(tzinfo=None).isoformat(" ", "microseconds")


def _boolean(value: Any) -> int:
    if value not in (0, 1):
        raise ValueError("not a boolean")
    return int(value)


def _integer(bits: int) -> Callable[[Any], int]:
    limit = 2 ** (bits - 1)

    def convert(value: Any) -> int:
        number = int(value)
        # pandas turns integers into floats where a NULL is among them
        if isinstance(value, str | bytes) or number != value:
            raise ValueError("not an integer")
        if not -limit <= number < limit:
            raise ValueError(f"it needs more than {bits} bits")
        return number

    return convert


def _float(value: Any) -> float:
    if isinstance(value, str | bytes):
        raise TypeError("not a number")
    number = float(value)
    if math.isinf(number):
        raise ValueError("MySQL has no infinity")
    return number


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("not bytes")
    return bytes(value)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _text(length: int | None) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError("not text")
        if length is not None and len(value) > length:
            raise ValueError(f"{len(value)} characters, at most {length} fit")
        if not value.isascii():
            value.encode()  # a lone surrogate is no text
        return value

    return convert


_CONVERTERS: tuple[tuple[type[TypeEngine[Any]], Callable[[Any], Any]], ...] = (
    (UtcDateTime, _datetime),
    (Boolean, _boolean),
    (Float, _float),
    (LargeBinary, _bytes),
    (JSON, _json),
)
