"""Reading long ranges of a minute table: many rows a statement, as one string of numbers.

A cursor makes a Python object a value, and that is most of its time. Here a statement returns the
rows of a range of minutes as one string of codes (``userdb.number_codes``), that NumPy takes as it
is: benchmarks/range_read.py has the ratios. The database writes the string without holding
Python's lock, so another thread can compute meanwhile. What no code can hold is read by a cursor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    select,
    text,
)

from userdb.number_codes import (
    Array,
    Codes,
    Dialect,
    Encoding,
    MysqlDialect,
    SqliteDialect,
    dtype_of,
    encodings,
)
from userdb.read import read_columns
from userdb.store import Store

#: Rows a statement is meant to return; what a range holds is guessed from the one before it.
_ROWS = 20_000
_FIRST_MINUTES = 60
_MAX_MINUTES = 7 * 24 * 60
#: Bytes of one string on a server; a longer one would be cut.
_MAX_TEXT = 16 * 1024 * 1024


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
    Memory beside the result: the codes of some 20,000 rows.

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
    # without rows, the dtype
    parts: list[list[Array]] = [[np.empty(0, dtype=dtype_of(column))] for column in chosen]
    with store.read() if connection is None else nullcontext(connection) as reading:
        for found in _Reader(store, reading, table, chosen, series).parts(first, stop):
            for own, values in zip(parts, found, strict=True):
                own.append(values)
    joined: dict[str, Array] = {}
    for name, own in zip(columns, parts, strict=True):
        joined[name] = np.concatenate(own, dtype=own[0].dtype)
        own.clear()  # a column is held twice, not the table
    return joined


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
        self.dialect: Dialect = SqliteDialect() if store.is_sqlite else MysqlDialect()
        #: for each column the encodings that may still hold its values
        self.ways = [encodings(column, self.dialect) for column in columns]
        #: a string of so many bytes may have been cut
        self.limit = None if store.is_sqlite else _limit_strings(connection)

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
        while all(self.ways):
            chosen = [ways[0] for ways in self.ways]
            rows, data, checks = self._read(chosen, first, stop)
            if not rows:
                return
            if self.limit is not None and len(data) >= self.limit:
                break
            width = sum(len(one.codes) for one in chosen)
            decoded = _decode(chosen, self.dialect.split(data, rows, width), checks, first)
            misfits = [at for at, values in enumerate(decoded) if values is None]
            if not misfits:
                yield [values for values in decoded if values is not None]
                return
            for at in misfits:
                del self.ways[at][0]
        else:
            # values that no encoding holds, but only here: the next range starts anew
            self.ways = [encodings(column, self.dialect) for column in self.columns]
            yield self._plain(first, stop)
            return
        if stop - first == 1:
            yield self._plain(first, stop)
            return
        middle = (first + stop) // 2
        yield from self._range(first, middle)
        yield from self._range(middle, stop)

    def _read(
        self, chosen: Sequence[Encoding], first: int, stop: int
    ) -> tuple[int, bytes, list[int]]:
        """How many rows there are, their codes, and each encoding's check (0 without one)."""
        codes = [code for one in chosen for code in one.codes]
        listed = ["count(*)", self.dialect.join(codes), *(one.check or "0" for one in chosen)]
        wanted = text(", ".join(listed))
        if ":first" in wanted.text:
            wanted = wanted.bindparams(first=first)
        query: Select[*tuple[Any, ...]] = select(wanted)
        rows, data, *checks = self.connection.execute(self._limited(query, first, stop)).one()
        if not rows:
            return 0, b"", []
        return rows, data, [int(check) for check in checks]

    def _limited(
        self, query: Select[*tuple[Any, ...]], first: int, stop: int
    ) -> Select[*tuple[Any, ...]]:
        minute: ColumnElement[int] = self.table.c.minute
        query = query.select_from(self.table).where(minute >= first, minute < stop)
        if self.series is not None:
            # by the primary key: the index over series would bring the rows in another order
            query = query.where((self.table.c.series_id + 0).in_(sorted(self.series)))
        return query

    def _plain(self, first: int, stop: int) -> list[Array]:
        query = self._limited(select(*self.columns), first, stop)
        frame = read_columns(self.store, query, connection=self.connection)
        return [frame[column.name].to_numpy() for column in self.columns]


def _limit_strings(connection: Connection) -> int:
    """Allow long strings on a server; returns the length from which one may have been cut."""
    longest = f"LEAST({_MAX_TEXT}, @@max_allowed_packet DIV 2)"
    connection.execute(text(f"SET SESSION group_concat_max_len = {longest}"))
    return int(connection.scalar(text("SELECT @@group_concat_max_len")) or 0) - 3


def _decode(
    chosen: Sequence[Encoding], codes: Codes | None, checks: Sequence[int], first: int
) -> list[Array | None]:
    """The values of each column, or None for those that its encoding doesn't hold."""
    if codes is None:
        return [None] * len(chosen)
    decoded: list[Array | None] = []
    at = 0
    for one, check in zip(chosen, checks, strict=True):
        decoded.append(one.decode(codes[:, at : at + len(one.codes)], check, first))
        at += len(one.codes)
    return decoded
