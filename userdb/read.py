"""Reading ranges of rows into columns, without a Python object a row.

A plain cursor into NumPy. connectorx was measured (benchmarks/range_read.py) and left out. For a
million rows it is faster (up to five times on SQLite, less than twice on MariaDB), for the short
ranges of live windows slower, and it can't read in a transaction of ours. On SQLite it is unsafe:
it brings a second copy of SQLite into the process, and whenever that closes the file, POSIX drops
the locks of the first copy too. Another process that closes the file then takes itself for the
last one and deletes the write-ahead log, and what this process commits afterwards is lost
(https://www.sqlite.org/howtocorrupt.html, section 2.2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Boolean, ColumnElement, Connection, Float, Integer, Numeric, Select

from userdb.store import Store

if TYPE_CHECKING:
    import pandas as pd


def read_columns(
    store: Store, query: Select[*tuple[Any, ...]], *, connection: Connection | None = None
) -> pd.DataFrame:
    """The rows of ``query``, one column a selected column, named as it is.

    Reads on ``connection`` where given, so as part of its transaction and with its own changes;
    else in a read transaction of its own.

    dtypes are the same on every dialect and, for plain columns, don't depend on the rows:

    - integers and booleans: int64; float64 with NaN for NULL where the column may be NULL, or
      a NULL came (from an outer join or an expression)
    - floats and decimals: float64, NaN for NULL
    - else object: what SQLAlchemy gives (text, aware UTC datetimes, JSON, bytes), None for NULL

    Raises:
        UserdbUnavailable: userdb can't be reached.
    """
    import pandas as pd  # takes a third of a second, and what reads in bulk needs none

    with store.read() if connection is None else nullcontext(connection) as reading:
        result = reading.execute(query)
        names = list(result.keys())
        # past SQLAlchemy's Row: the rows as the driver makes them
        rows: Sequence[Sequence[Any]] = result.cursor.fetchall()
        dialect = reading.dialect
        result.close()
    selected = list(query.selected_columns)
    if rows and all(_is_whole(column) for column in selected):
        # the usual case: counts per minute and series, in one array at once
        flat = chain.from_iterable(rows)
        try:
            matrix = np.fromiter(flat, dtype=np.int64, count=len(rows) * len(names))
        except TypeError:
            pass  # a NULL came
        else:
            return pd.DataFrame(matrix.reshape(-1, len(names)), columns=names)
    frame: dict[str, Any] = {}
    for at, (name, column) in enumerate(zip(names, selected, strict=True)):
        data = list(map(itemgetter(at), rows))
        if isinstance(column.type, Integer | Boolean):
            frame[name] = _integers(data, nullable=getattr(column, "nullable", False))
        elif isinstance(column.type, Numeric | Float):
            frame[name] = np.array(data, dtype=np.float64)
        else:
            convert = column.type.dialect_impl(dialect).result_processor(dialect, None)
            values = [convert(value) for value in data] if convert else data
            frame[name] = pd.Series(values, dtype="object")
    return pd.DataFrame(frame, columns=names)


def _is_whole(column: ColumnElement[Any]) -> bool:
    return isinstance(column.type, Integer | Boolean) and not getattr(column, "nullable", False)


def _integers(data: Sequence[Any], *, nullable: bool) -> np.ndarray[Any, Any]:
    if not nullable:
        try:
            return np.fromiter(data, dtype=np.int64, count=len(data))
        except TypeError:
            if None not in data:
                raise
    return np.array(data, dtype=np.float64)
