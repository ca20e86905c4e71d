"""Numbers of many rows as one string of fixed-width codes, and back: SQL to write, NumPy to read.

A database makes a string of codes several times as fast as decimal texts, and NumPy takes it
as it is:

    SQLite   char(a, b, …): a code is a Unicode character, 0 to 0x10FFFF
    MySQL    CHAR(a + 2^24, b + 2^24, …): a code is three bytes behind a byte 1, 0 to 2^24 - 1

A column has several ways to be written, from the cheapest, which suits most values, to one that
holds all. Each tells when it doesn't hold what is there:

    whole numbers   one code; else the 64 bits in pieces
    floats          thousandths, where their quotient by 1000 is the float; else the integer part
                    and the fraction times 2^62. Both are exact for zero and 2^-10 < x < 2^62, as
                    a double has 53 bits
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Boolean, Column, Float, Integer

Array = NDArray[np.int64 | np.float64]
Codes = NDArray[np.int64]

#: A code that doesn't say what it stood for.
LOST = -1
#: NULL in a column's only code.
_NULL = 2**20
_FRACTION = 2**62
#: The fraction of 2^-10, and of what MySQL rounds to it.
_LEAST = 2**52


class Dialect(Protocol):
    """How a database writes codes. ``bits``: a piece of a number that any code can hold."""

    bits: int
    integer: str

    def join(self, codes: list[str]) -> str:
        """SQL: the codes of all rows in one string."""

    def split(self, data: Any, rows: int, width: int) -> Codes | None:
        """The codes of each row, (rows, width), LOST where one isn't known; None where some are
        missing."""

    def within(self, number: str) -> str:
        """SQL: a whole number that may be longer than 32 bits, for use as a single code."""

    def bounded(self, number: str) -> str:
        """SQL: the float, or one outside of [0, 2^62) where it would be out of range later."""

    def floor(self, number: str) -> str:
        """SQL: a float that is not negative, rounded down, as a whole number."""

    def thousandths(self, number: str) -> str:
        """SQL: a thousand times the float, rounded, as a whole number."""


class SqliteDialect:
    bits = 15  # below the surrogates and the replacement character
    integer = "INTEGER"

    def join(self, codes: list[str]) -> str:
        # as bytes: sqlite3 would refuse to decode surrogates
        return f"CAST(group_concat(char({', '.join(codes)}), '') AS BLOB)"

    def split(self, data: Any, rows: int, width: int) -> Codes | None:
        characters = data.decode("utf-8", "surrogatepass").encode("utf-32-le", "surrogatepass")
        codes = np.frombuffer(characters, dtype="<u4").astype(np.int64)
        if len(codes) != rows * width:
            return None
        # what char() writes for a number that is no character
        codes[codes == 0xFFFD] = LOST
        return codes.reshape(rows, width)

    def within(self, number: str) -> str:
        return number

    def bounded(self, number: str) -> str:
        return number

    def floor(self, number: str) -> str:
        return f"CAST({number} AS INTEGER)"

    def thousandths(self, number: str) -> str:
        return f"CAST({number} * 1e3 + 0.5 AS INTEGER)"


class MysqlDialect:
    bits = 24
    integer = "SIGNED"

    def join(self, codes: list[str]) -> str:
        listed = ", ".join(f"({code}) + 16777216" for code in codes)
        return f"GROUP_CONCAT(CHAR({listed}) SEPARATOR '')"

    def split(self, data: Any, rows: int, width: int) -> Codes | None:
        if len(data) != 4 * rows * width:
            return None  # cut, or a negative number: that makes three bytes
        codes = np.frombuffer(data, dtype=">u4").astype(np.int64)
        lost = codes >> 24 != 1
        codes &= 0xFFFFFF
        codes[lost] = LOST
        return codes.reshape(rows, width)

    def within(self, number: str) -> str:
        # CHAR() takes 32 bits of it
        return f"IF({number} BETWEEN 0 AND 16777215, {number}, 16777216)"

    # MariaDB takes the nearest number where a cast is out of range, MySQL refuses the statement

    def bounded(self, number: str) -> str:
        return f"LEAST(GREATEST({number}, -1), 9e18)"

    def floor(self, number: str) -> str:
        return f"CAST(FLOOR({number}) AS SIGNED)"

    def thousandths(self, number: str) -> str:
        return f"CAST(LEAST({number}, 9e15) * 1e3 AS SIGNED)"


@dataclass(frozen=True)
class Encoding:
    """One way to write a column.

    Attributes:
        codes: SQL of each code; ``:first`` is the first minute of the range.
        check: SQL over all rows, for ``decode``.
        decode: codes (rows, len(codes)), value of the check, first minute → values, or None where
            this encoding doesn't hold them.
    """

    codes: tuple[str, ...]
    check: str | None
    decode: Callable[[Codes, int, int], Array | None]


def dtype_of(column: Column[Any]) -> type[np.int64] | type[np.float64]:
    """float64 for floats and for what may be NULL, as ``userdb.read.read_columns`` has it.

    Raises:
        TypeError: neither whole numbers nor floats.
    """
    if not isinstance(column.type, Integer | Boolean | Float):
        raise TypeError(
            f"{column.table.name}.{column.name} is neither a whole number nor a float; "
            "read it with read_columns"
        )
    whole = isinstance(column.type, Integer | Boolean) and not column.nullable
    return np.int64 if whole else np.float64


def encodings(column: Column[Any], dialect: Dialect) -> list[Encoding]:
    """Ways to write the column, the cheapest first."""
    if isinstance(column.type, Float):
        return [_thousandths(column, dialect), _exact_float(column, dialect)]
    if column.name == "minute":
        return [_minute(column), _pieces(column, dialect)]
    number = dialect.within(column.name) if isinstance(column.type, BigInteger) else column.name
    simple = _nullable(column, number) if column.nullable else _single(number)
    return [simple, _pieces(column, dialect)]


def _minute(column: Column[Any]) -> Encoding:
    def decode(codes: Codes, _check: int, first: int) -> Array | None:
        return None if (codes == LOST).any() else codes[:, 0] + first

    return Encoding((f"{column.name} - :first",), None, decode)


def _single(number: str) -> Encoding:
    def decode(codes: Codes, _check: int, _first: int) -> Array | None:
        return None if (codes == LOST).any() else codes[:, 0].copy()

    return Encoding((number,), None, decode)


def _nullable(column: Column[Any], number: str) -> Encoding:
    name = column.name

    def decode(codes: Codes, nulls: int, _first: int) -> Array | None:
        null = codes[:, 0] == _NULL
        if (codes == LOST).any() or np.count_nonzero(null) != nulls:
            return None
        return np.where(null, np.nan, codes[:, 0])

    return Encoding(
        (f"CASE WHEN {name} IS NULL THEN {_NULL} ELSE {number} END",),
        f"count(*) - count({name})",
        decode,
    )


def _pieces(column: Column[Any], dialect: Dialect) -> Encoding:
    name = column.name

    def decode(codes: Codes, _check: int, _first: int) -> Array | None:
        if (codes == LOST).any():
            return None
        if not column.nullable:
            return _whole(codes, dialect)
        return np.where(codes[:, 0] == 1, np.nan, _whole(codes[:, 1:], dialect))

    codes = _split(name, dialect)
    return Encoding((f"({name} IS NULL)", *codes) if column.nullable else codes, None, decode)


def _split(number: str, dialect: Dialect) -> tuple[str, ...]:
    """SQL of the pieces of a whole number of 64 bits, the lowest first."""
    mask = 2**dialect.bits - 1
    return tuple(
        f"COALESCE(({number} >> {shift}) & {mask}, 0)" for shift in range(0, 64, dialect.bits)
    )


def _whole(pieces: Codes, dialect: Dialect) -> NDArray[np.int64]:
    total = np.zeros(len(pieces), dtype=np.uint64)
    for at in range(pieces.shape[1]):
        total |= pieces[:, at].astype(np.uint64) << np.uint64(at * dialect.bits)
    return total.view(np.int64)


def _thousandths(column: Column[Any], dialect: Dialect) -> Encoding:
    name, bits = column.name, dialect.bits
    number = dialect.thousandths(dialect.bounded(name))
    most = 4**bits // 1000 - 1

    def decode(codes: Codes, bad: int, _first: int) -> Array | None:
        if bad or (codes == LOST).any():
            return None
        values: NDArray[np.float64] = (codes[:, -2] + (codes[:, -1] << bits)) / 1e3
        if column.nullable:
            values[codes[:, 0] == 1] = np.nan
        return values

    pieces = (f"COALESCE({number} & {2**bits - 1}, 0)", f"COALESCE({number} >> {bits}, 0)")
    if not column.nullable:
        pieces = (f"{number} & {2**bits - 1}", f"{number} >> {bits}")
    fits = f"{number} / 1e3 = {name} AND {name} >= 0 AND {name} < {most}"
    return Encoding(
        (f"({name} IS NULL)", *pieces) if column.nullable else pieces,
        f"COALESCE(sum(NOT ({fits})), 0)",
        decode,
    )


def _exact_float(column: Column[Any], dialect: Dialect) -> Encoding:
    name = column.name
    bounded = dialect.bounded(name)
    floor = dialect.floor(bounded)
    fraction = f"CAST(({bounded} - {floor}) * {_FRACTION} AS {dialect.integer})"
    pieces = (f"({name} IS NULL)", *_split(floor, dialect), *_split(fraction, dialect))
    half = (len(pieces) + 1) // 2

    def decode(codes: Codes, nonzero: int, _first: int) -> Array | None:
        null = codes[:, 0] == 1
        whole, part = _whole(codes[:, 1:half], dialect), _whole(codes[:, half:], dialect)
        inexact = (whole < 0) | (whole >= _FRACTION) | (part < 0)
        inexact |= (whole == 0) & (part > 0) & (part <= _LEAST)
        # what is smaller than 2^-62 looks like zero
        if inexact.any() or np.count_nonzero(whole | part) != nonzero:
            return None
        values: NDArray[np.float64] = whole + part / float(_FRACTION)
        values[null] = np.nan
        return values

    return Encoding(pieces, f"count(NULLIF({name}, 0))", decode)
