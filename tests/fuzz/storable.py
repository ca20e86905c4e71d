"""Whether a row fits its table, as a strict server sees it: SQLite takes nearly anything."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Integer, Table

from userdb.models import Base
from userdb.times import require_aware


def assert_storable(table: str, row: Mapping[str, Any]) -> None:
    """Raise AssertionError where a value of ``row`` doesn't fit its column."""
    columns = _table(table).columns
    for name, value in row.items():
        if value is None:
            assert columns[name].nullable, name
            continue
        kind = columns[name].type
        if kind.python_type is int and isinstance(kind, Integer):
            bits = 63 if isinstance(kind, BigInteger) else 31
            assert isinstance(value, int), (name, value)
            assert -(1 << bits) <= value < 1 << bits, (name, value)
        elif isinstance(value, float):
            assert math.isfinite(value), (name, value)
        elif isinstance(value, str):
            value.encode()
            length = getattr(kind, "length", None)
            assert length is None or len(value) <= length, (name, value)
        elif isinstance(value, dict):
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        elif hasattr(value, "utcoffset"):
            require_aware(value)


def _table(name: str) -> Table:
    return Base.metadata.tables[name]
