"""Columns of Arrow tables for a database driver: checked, listed and written a column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import BigInteger, Column, Float, Integer, String, Text

from userdb.types import UtcDateTime

#: What LOAD DATA reads as itself only after a backslash, which is the first: see ``userdb.bulk``.
_ESCAPED = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
_MARKS = [text.encode() for text in _ESCAPED]


def checked(column: Column[Any], values: pa.ChunkedArray) -> pa.Array | None:
    """``values`` as they may go to ``column``: times as text, NaN as null.

    None where a look at the column doesn't tell that all fit: then each is looked at.
    """
    kind, given = column.type, values.type
    if values.num_chunks == 1:
        found = values.chunk(0)
    else:
        found = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], given)
    if isinstance(kind, UtcDateTime) and pa.types.is_timestamp(given) and given.tz is not None:
        if given.unit == "ns":
            found = pc.floor_temporal(found, unit="microsecond")
        # text of UTC, without a zone
        return found.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us")).cast(pa.string())
    if isinstance(kind, Integer) and pa.types.is_integer(given):
        bounds = pc.min_max(found).as_py()
        limit = 2 ** (63 if isinstance(kind, BigInteger) else 31)
        return found if -limit <= (bounds["min"] or 0) and (bounds["max"] or 0) < limit else None
    if isinstance(kind, Float) and pa.types.is_floating(given):
        found = pc.if_else(pc.is_nan(found), None, found)
        return found if pc.all(pc.is_finite(found)).as_py() is not False else None
    if isinstance(kind, String) and pa.types.is_string(given):
        if isinstance(kind, Text) or kind.length is None:
            return found
        longest = pc.max(pc.utf8_length(found)).as_py() or 0
        return found if longest <= kind.length else None
    return None


def listed(values: pa.Array) -> list[Any]:
    """Python's own values; several times as fast as ``to_pylist``."""
    count = len(values)
    if values.null_count == count:
        return [None] * count
    if pa.types.is_string(values.type):
        packed = values.dictionary_encode()
        if 2 * len(packed.dictionary) > count:
            texts: list[Any] = values.to_numpy(zero_copy_only=False).tolist()
            return texts
        # one object for what is the same
        known = np.array([*packed.dictionary.to_pylist(), None], dtype=object)
        places = packed.indices.fill_null(len(known) - 1).to_numpy()
        return list(known[places])
    if not values.null_count:
        return list(values.to_numpy().tolist())
    numbers = values.fill_null(0).to_numpy().astype(object)
    numbers[values.is_null().to_numpy(zero_copy_only=False)] = None
    return list(numbers)


def tsv_lines(columns: Sequence[pa.Array | list[str]]) -> bytes:
    """Lines as LOAD DATA reads them, of columns of Arrow, or of texts that are escaped already."""
    texts = [
        column.cast(pa.large_string()) if isinstance(column, pa.Array) else column
        for column in columns
    ]
    lines = _joined(texts)
    # few texts need an escape: to count what should be there is faster than to look at each
    rows, nulls = len(columns[0]), sum(one.null_count for one in texts if not isinstance(one, list))
    escaped = sum(text.count("\\") for one in texts if isinstance(one, list) for text in one)
    expected = {b"\t": rows * (len(columns) - 1), b"\n": rows, b"\\": nulls + escaped}
    if any(lines.count(mark) != expected.get(mark, 0) for mark in _MARKS):
        lines = _joined([one if isinstance(one, list) else _escaped(one) for one in texts])
    return lines


def _joined(columns: Sequence[pa.Array | list[str]]) -> bytes:
    wide = pa.large_string()
    lines = pc.binary_join_element_wise(
        *(pa.array(one, wide) if isinstance(one, list) else one for one in columns),
        pa.scalar("\t", wide),
        null_handling="replace",
        null_replacement="\\N",
    )
    lines = pc.binary_join_element_wise(lines, pa.scalar("", wide), pa.scalar("\n", wide))
    _, offsets, data = lines.buffers()
    first, end = np.frombuffer(offsets, dtype=np.int64)[[lines.offset, lines.offset + len(lines)]]
    return bytes(memoryview(data)[first:end])


def _escaped(values: pa.Array) -> pa.Array:
    for text, escaped in _ESCAPED.items():
        values = pc.replace_substring(values, text, escaped)
    return values
