"""Lines that are JSON objects: all keys that a format needs are read at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def json_path(key: str) -> str:
    """``a.b`` as DuckDB's JSON path; what begins with "/" is a JSON Pointer, for keys with dots.

    A part ``#-1`` is the last element of a list, a number one of its elements.
    """
    if key.startswith("/"):
        return key
    path = "$"
    for part in key.split("."):
        is_index = part == "#-1" or part.isdecimal()
        path += f"[{part}]" if is_index else '."' + part.replace('"', '\\"') + '"'
    return path


class JsonRecord:
    """``record``, an expression over ``line``, is a list of texts; ``values`` are of it.

    Args:
        keys: by name, the keys that a value may have (see ``json_path``); the first that is
            there, and neither empty nor "-", wins.
    """

    def __init__(self, keys: Mapping[str, Sequence[str]]) -> None:
        self._numbers = {name: number for number, name in enumerate(keys, 1)}
        self.names = frozenset(keys)
        flat = list(dict.fromkeys(key for names in keys.values() for key in names))
        paths = ", ".join("'" + json_path(key).replace("'", "''") + "'" for key in flat)
        # json_type would parse each line once more; JSON that is no object is refused for its time
        self.record = f"CASE WHEN json_valid(line) THEN json_extract_string(line, [{paths}]) END"
        self.values = tuple(
            _first([f"nullif(nullif(record[{flat.index(key) + 1}], ''), '-')" for key in names])
            for names in keys.values()
        )

    def value(self, name: str) -> str:
        """An expression over ``values``: text or null."""
        return f"value_{self._numbers[name]}"


def _first(expressions: Sequence[str]) -> str:
    return expressions[0] if len(expressions) == 1 else f"coalesce({', '.join(expressions)})"
