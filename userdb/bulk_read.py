"""Reading long ranges of a minute table: the database writes many rows as one text of numbers.

A cursor makes a Python object a value, and that is most of its time. Here a statement returns the
rows of a range of minutes in one aggregate, whole numbers with commas between, that NumPy parses
at once: benchmarks/range_read.py has the ratios.

Floats travel exactly, as two whole numbers: the integer part, and the fraction times 2^62. Both are
exact in binary arithmetic for zero and for 2^-10 <= x < 2^62, since a double has 53 bits; the
databases' own decimal texts are not (SQLite's may be a digit off) or are slow (MariaDB's). A range
that holds any other float is read by a plain cursor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    Table,
    literal_column,
    select,
    text,
)

from userdb.read import read_columns
from userdb.store import Store

#: Rows a statement is meant to return; what a range holds is guessed from the one before it.
_ROWS = 20_000
_FIRST_MINUTES = 60
_MAX_MINUTES = 7 * 24 * 60
#: Bytes of one text on a server; a longer one would be cut.
_MAX_TEXT = 8 * 1024 * 1024
#: Whole, as a text of a float need not be exact in SQL.
_FRACTION = 2**62
#: The fraction of 2^-10, and of what MariaDB rounds to it.
_LEAST = 2**52
#: NULL of a whole-number column, which may hold it as a value too: NULLs are counted besides.
#: The NULL of a float is the fraction 2^62, which is none.
_NULL = -(2**63)

Array = NDArray[np.int64] | NDArray[np.float64]


def read_minutes(
    store: Store,
    table: Table,
    columns: Sequence[str],
    first: int,
    stop: int,
    *,
    series: Collection[int] | None = None,
    connection: Connection | None = None,
) -> dict[str, Array]:
    """``columns`` of the rows of a minute table with ``first`` <= minute < ``stop``.

    The same arrays, bit by bit, as ``read_columns`` gives for that range. Rows come in the order
    of minutes; within a minute in the order of the primary key, as far as the database keeps it.
    Memory beside the result: the text of some 20,000 rows.

    Args:
        table: has the columns ``minute`` and, for ``series``, ``series_id``.
        columns: of whole numbers, booleans or floats.
        series: only rows of these series.
        connection: read in its transaction; else in a read transaction of its own.

    Returns:
        Column name → array, one value a row: int64, or float64 with NaN for NULL for floats and
        for columns that may be NULL.

    Raises:
        TypeError: a column of another type.
        UserdbUnavailable: userdb can't be reached.
    """
    chosen = [table.c[name] for name in columns]
    for column in chosen:
        if not isinstance(column.type, Integer | Boolean | Float):
            raise TypeError(
                f"{table.name}.{column.name} is neither a whole number nor a float; "
                "read it with read_columns"
            )
    with store.read() if connection is None else nullcontext(connection) as reading:
        reader = _Reader(store, reading, table, chosen, series)
        parts = list(reader.parts(first, stop))
    found: dict[str, Array] = {}
    for at, column in enumerate(chosen):
        # the empty array: without parts, the dtype
        found[column.name] = np.concatenate(
            [np.empty(0, dtype=_dtype(column)), *(part[at] for part in parts)]
        )
    return found


def _dtype(column: Column[Any]) -> type[np.int64] | type[np.float64]:
    whole = isinstance(column.type, Integer | Boolean) and not column.nullable
    return np.int64 if whole else np.float64


@dataclass(frozen=True)
class _Encoded:
    """A column as whole numbers: expressions over a row, and one over all rows that counts what
    the numbers may not tell (NULLs, floats other than zero)."""

    column: Column[Any]
    numbers: tuple[str, ...]
    check: str | None


class _Reader:
    def __init__(
        self,
        store: Store,
        connection: Connection,
        table: Table,
        columns: Sequence[Column[Any]],
        series: Collection[int] | None,
    ) -> None:
        self.store = store
        self.connection = connection
        self.table = table
        self.columns = columns
        self.series = series
        self.limit = self._text_limit()
        self.encoded = [_encode(column, store.is_sqlite) for column in columns]
        self.width = sum(len(one.numbers) for one in self.encoded)

    def _text_limit(self) -> int | None:
        if self.store.is_sqlite:
            return None
        self.connection.execute(
            text(
                f"SET SESSION group_concat_max_len = LEAST({_MAX_TEXT}, @@max_allowed_packet DIV 2)"
            )
        )
        return int(self.connection.scalar(text("SELECT @@group_concat_max_len")) or 0)

    def parts(self, first: int, stop: int) -> Iterator[list[Array]]:
        """The columns' values, range by range; ranges without rows are left out."""
        size = _FIRST_MINUTES
        while first < stop:
            end = min(first + size, stop)
            rows = 0
            for part in self._range(first, end):
                rows += len(part[0])
                yield part
            first = end
            # at most fourfold, as the next minutes may be fuller
            wanted = 4 * size if not rows else min(4 * size, size * _ROWS // rows)
            size = max(1, min(_MAX_MINUTES, wanted))

    def _range(self, first: int, stop: int) -> Iterator[list[Array]]:
        count, numbers, checks = self._read(first, stop)
        if not count:
            return
        if numbers is None and stop - first > 1:
            middle = (first + stop) // 2
            yield from self._range(first, middle)
            yield from self._range(middle, stop)
            return
        decoded = None if numbers is None else self._decode(numbers, checks)
        yield self._plain(first, stop) if decoded is None else decoded

    def _read(
        self, first: int, stop: int
    ) -> tuple[int, NDArray[np.int64] | None, dict[str, int | None]]:
        """How many rows there are; their numbers, (rows, width), or None where the text was cut;
        and the value of each column's check."""
        numbers = [number for one in self.encoded for number in one.numbers]
        checked = [one for one in self.encoded if one.check is not None]
        query: Select[*tuple[Any, ...]] = select(
            literal_column(_joined(numbers, self.store.is_sqlite)),
            literal_column("count(*)"),
            *(literal_column(str(one.check)) for one in checked),
        )
        joined, count, *values = self.connection.execute(self._limited(query, first, stop)).one()
        checks = dict(zip((one.column.name for one in checked), values, strict=True))
        if not count or (self.limit is not None and len(joined) >= self.limit - 1):
            return count, None, checks
        flat = np.fromstring(joined, dtype=np.int64, sep=",")
        if len(flat) != count * self.width:
            raise AssertionError(
                f"{self.table.name}: {len(flat)} numbers came for {count} rows of {self.width}"
            )
        return count, flat.reshape(count, self.width), checks

    def _limited(
        self, query: Select[*tuple[Any, ...]], first: int, stop: int
    ) -> Select[*tuple[Any, ...]]:
        minute: ColumnElement[int] = self.table.c.minute
        query = query.select_from(self.table).where(minute >= first, minute < stop)
        if self.series is not None:
            # by the primary key: the index over series would bring the rows in another order
            query = query.where((self.table.c.series_id + 0).in_(sorted(self.series)))
        return query

    def _decode(
        self, numbers: NDArray[np.int64], checks: dict[str, int | None]
    ) -> list[Array] | None:
        """The columns, or None where a check says that the numbers don't tell all."""
        found: list[Array] = []
        at = 0
        for one in self.encoded:
            check = checks.get(one.column.name)
            values: Array | None
            if isinstance(one.column.type, Float):
                values = _floats(numbers[:, at], numbers[:, at + 1], check)
            elif check is not None:
                values = _nullable(numbers[:, at], check)
            else:
                values = numbers[:, at].copy()
            if values is None:
                return None
            found.append(values)
            at += len(one.numbers)
        return found

    def _plain(self, first: int, stop: int) -> list[Array]:
        query = self._limited(select(*self.columns), first, stop)
        frame = read_columns(self.store, query, connection=self.connection)
        return [frame[column.name].to_numpy() for column in self.columns]


def _joined(numbers: Sequence[str], sqlite: bool) -> str:
    """All rows' numbers in one text."""
    if sqlite:
        # printf is several times as fast as ||
        return f"group_concat(printf('{','.join(['%d'] * len(numbers))}', {', '.join(numbers)}))"
    comma = ", ',', "
    return f"GROUP_CONCAT({comma.join(numbers)} SEPARATOR ',')"


def _encode(column: Column[Any], sqlite: bool) -> _Encoded:
    name = column.name
    if not isinstance(column.type, Float):
        if not column.nullable:
            return _Encoded(column, (name,), None)
        return _Encoded(column, (f"COALESCE({name}, {_NULL})",), f"count(*) - count({name})")
    if sqlite:
        whole = floor = f"CAST({name} AS INTEGER)"
    else:
        floor = f"FLOOR({name})"
        whole = f"CAST({floor} AS SIGNED)"
    fraction = f"CAST(({name} - {floor}) * {_FRACTION} AS {'INTEGER' if sqlite else 'SIGNED'})"
    if column.nullable:
        whole, fraction = f"COALESCE({whole}, 0)", f"COALESCE({fraction}, {_FRACTION})"
    return _Encoded(column, (whole, fraction), f"count(NULLIF({name}, 0))")


def _nullable(whole: NDArray[np.int64], nulls: int) -> NDArray[np.float64] | None:
    null = whole == _NULL
    if np.count_nonzero(null) != nulls:
        return None
    return np.where(null, np.nan, whole)


def _floats(
    whole: NDArray[np.int64], fraction: NDArray[np.int64], nonzero: int | None
) -> NDArray[np.float64] | None:
    null = fraction == _FRACTION
    inexact = (whole < 0) | (whole >= _FRACTION) | (fraction < 0)
    inexact |= (whole == 0) & (fraction > 0) & (fraction <= _LEAST)
    zero = (whole == 0) & (fraction == 0)
    # what is smaller than 2^-62 looks like zero
    if (inexact & ~null).any() or np.count_nonzero(~(zero | null)) != nonzero:
        return None
    values: NDArray[np.float64] = whole + fraction / float(_FRACTION)
    values[null] = np.nan
    return values
