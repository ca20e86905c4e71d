"""Inserting many rows at once.

MySQL: LOAD DATA LOCAL, where the server allows it. It turns errors into warnings and skips
duplicates in silence, so the warnings are counted: one that isn't a duplicate asked to be ignored
rolls back to a savepoint, and the rows go in by multi-row INSERT, which says what is wrong.
(A staging table would cost a second copy of every row and a privilege, for the same safety.)
SQLite: executemany.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from userdb.encode import Field, encode_columns
from userdb.models.base import Base

if TYPE_CHECKING:
    from userdb.encode import Rows

#: Below so many rows a file costs more than it saves.
_FEW = 200
#: Values bound in one INSERT; MySQL allows 65,535 in a prepared statement.
_VALUES_PER_INSERT = 10_000
_LOCAL_INFILE = "userdb_local_infile"


@dataclass(frozen=True)
class _Target:
    """A table and the columns to fill, quoted for the dialect."""

    table: str
    columns: tuple[str, ...]
    key: str


def bulk_insert(
    connection: Connection,
    model: type[Base],
    rows: Rows,
    *,
    on_duplicate: Literal["raise", "ignore"] = "raise",
) -> int:
    """Insert ``rows`` in the connection's transaction, and return how many were inserted.

    ``rows`` are mappings, a pandas frame, or (the fastest) an Arrow table.
    Columns are named by the model's attributes or by the table's columns. A key that a mapping
    lacks, None, NaN, NaT and pandas.NA are NULL, or the column's default where it has one.
    Datetimes must be aware and are stored as UTC, cut to microseconds.

    With ``on_duplicate="ignore"`` a row whose primary or unique key is there already, in the
    table or earlier in ``rows``, is left out; nothing else is ignored.

    On SQLite the caller keeps a transaction under 20,000 rows.

    Raises:
        RowError: a column that the table doesn't have, or a value that doesn't fit its column.
        sqlalchemy.exc.IntegrityError: a duplicate, or NULL where none may be.
    """
    fields = encode_columns(model, rows)
    count = len(fields[0].given) if fields else 0
    if not count:
        return 0
    quote = connection.dialect.identifier_preparer.quote
    table = model.__table__
    target = _Target(
        quote(table.name),  # type: ignore[attr-defined]
        tuple(quote(field.column.name) for field in fields),
        quote(next(iter(table.primary_key)).name),
    )
    ignore = on_duplicate == "ignore"
    if connection.dialect.name == "sqlite":
        return _executemany(connection, target, fields, ignore)
    if count >= _FEW and _allows_local_infile(connection):
        loaded = _load_data(connection, target, fields, count, ignore)
        if loaded is not None:
            return loaded
    if ignore:
        return sum(_insert_ignoring(connection, target, chunk) for chunk in _chunks(fields, count))
    return sum(_insert(connection, target, chunk) for chunk in _chunks(fields, count))


def _executemany(
    connection: Connection, target: _Target, fields: Sequence[Field], ignore: bool
) -> int:
    marks = ", ".join("?" * len(fields))
    # OR IGNORE would also leave out rows with a NULL where none may be
    end = " ON CONFLICT DO NOTHING" if ignore else ""
    result = connection.exec_driver_sql(
        f"INSERT INTO {target.table} ({', '.join(target.columns)}) VALUES ({marks}){end}",
        list(zip(*(field.values for field in fields), strict=True)),
    )
    return result.rowcount


def _chunks(fields: Sequence[Field], count: int) -> Iterator[list[tuple[Any, ...]]]:
    rows = list(zip(*(field.values for field in fields), strict=True))
    size = max(1, _VALUES_PER_INSERT // len(fields))
    for at in range(0, count, size):
        yield rows[at : at + size]


def _insert(
    connection: Connection,
    target: _Target,
    rows: Sequence[tuple[Any, ...]],
    *,
    ignore: str = "",
    end: str = "",
) -> int:
    row = f"({', '.join(['%s'] * len(target.columns))})"
    result = connection.exec_driver_sql(
        f"INSERT {ignore}INTO {target.table} ({', '.join(target.columns)}) "
        f"VALUES {', '.join([row] * len(rows))}{end}",
        tuple(value for values in rows for value in values),
    )
    return result.rowcount


def _insert_ignoring(
    connection: Connection, target: _Target, rows: Sequence[tuple[Any, ...]]
) -> int:
    savepoint = connection.begin_nested()
    inserted = _insert(connection, target, rows, ignore="IGNORE ")
    if _warnings(connection) == len(rows) - inserted:
        savepoint.commit()
        return inserted
    # IGNORE has hidden more than duplicates: this one raises it
    savepoint.rollback()
    _insert(connection, target, rows, end=f" ON DUPLICATE KEY UPDATE {target.key} = {target.key}")
    return inserted


def _warnings(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT @@warning_count")) or 0)


def _allows_local_infile(connection: Connection) -> bool:
    if _LOCAL_INFILE not in connection.info:
        connection.info[_LOCAL_INFILE] = bool(connection.scalar(text("SELECT @@local_infile")))
    return bool(connection.info[_LOCAL_INFILE])


def _load_data(
    connection: Connection, target: _Target, fields: Sequence[Field], count: int, ignore: bool
) -> int | None:
    """Rows inserted, or None where nothing was, for a reason that INSERT will tell."""
    listed: list[str] = []
    assigned: list[str] = []
    for name, field in zip(target.columns, fields, strict=True):
        if field.binary:
            variable = f"@b{len(assigned)}"
            listed.append(variable)
            assigned.append(f"{name} = UNHEX({variable})")
        else:
            listed.append(name)
    handle, name = tempfile.mkstemp(prefix="userdb-", suffix=".tsv")
    try:
        with os.fdopen(handle, "wb") as file:
            _write_tsv(file, fields)
        savepoint = connection.begin_nested()
        statement = (
            f"LOAD DATA LOCAL INFILE %s INTO TABLE {target.table} CHARACTER SET utf8mb4 "
            "FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' "
            f"({', '.join(listed)})" + (f" SET {', '.join(assigned)}" if assigned else "")
        )
        try:
            inserted = connection.exec_driver_sql(statement, (name,)).rowcount
        except DBAPIError as error:
            if error.connection_invalidated or _is_lock_error(error):
                raise
            savepoint.rollback()
            connection.info[_LOCAL_INFILE] = False
            return None
    finally:
        Path(name).unlink()
    left_out = count - inserted
    # every row that was left out as a duplicate has exactly one warning
    if _warnings(connection) == left_out and (ignore or not left_out):
        savepoint.commit()
        return inserted
    savepoint.rollback()
    return None


def _is_lock_error(error: DBAPIError) -> bool:
    # a deadlock has rolled back the whole transaction: only a new one can go on
    return bool(error.orig and error.orig.args and error.orig.args[0] in (1205, 1213))


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})


def _write_tsv(file: BinaryIO, fields: Sequence[Field]) -> None:
    if any(not isinstance(field.given, list) for field in fields):
        from userdb.arrow_columns import tsv_lines

        file.write(
            tsv_lines(
                [_tsv(field) if isinstance(field.given, list) else field.given for field in fields]
            )
        )
        return
    rows = zip(*map(_tsv, fields), strict=True)
    file.writelines(f"{line}\n".encode() for line in map("\t".join, rows))


def _tsv(field: Field) -> list[str]:
    """The field's values as LOAD DATA reads them."""
    types = set(map(type, field.values))
    if types <= {int, float}:
        return list(map(repr, field.values))
    if types <= {int, float, NoneType}:
        return ["\\N" if value is None else repr(value) for value in field.values]
    if types <= {str, NoneType}:
        # few texts need an escape, and many are the same
        texts = {value: value.translate(_ESCAPES) for value in set(field.values) - {None}}
        texts[None] = "\\N"
        return [texts[value] for value in field.values]
    return [_tsv_value(value) for value in field.values]


def _tsv_value(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    return value.hex() if isinstance(value, bytes) else repr(value)
