"""Lines of text that one regular expression takes apart."""

from __future__ import annotations

from collections.abc import Sequence

#: What stands between double quotes; a quote in it is escaped by a backslash.
QUOTED = r'"((?:[^"\\]|\\.)*)"'


class TextRecord:
    """``record``, an expression over ``line``, is a struct of what the groups of ``pattern`` hold.

    Args:
        pattern: in RE2 syntax, which takes linear time whatever the line.
        names: of the groups, in their order; unique.
    """

    def __init__(self, pattern: str, names: Sequence[str]) -> None:
        self.names = frozenset(names)
        literal = "'" + pattern.replace("'", "''") + "'"
        fields = ", ".join(f"'{name}'" for name in names)
        self.record = f"""CASE WHEN regexp_matches(line, {literal})
                    THEN regexp_extract(line, {literal}, [{fields}]) END"""

    def value(self, name: str) -> str:
        """An expression over ``record``: text; null where it is empty or "-"."""
        if name not in self.names:
            raise KeyError(name)
        return f"nullif(nullif(record.{name}, '-'), '')"
