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
        other: pattern of lines that are of the format too; all of their values are null.
    """

    def __init__(self, pattern: str, names: Sequence[str], other: str | None = None) -> None:
        self.names = frozenset(names)
        fields = ", ".join(f"'{name}'" for name in names)
        is_other = "" if other is None else f" OR regexp_matches(line, {_literal(other)})"
        # where it doesn't match, all groups are empty
        self.record = f"""CASE WHEN regexp_matches(line, {_literal(pattern)}){is_other}
                    THEN regexp_extract(line, {_literal(pattern)}, [{fields}]) END"""

    def value(self, name: str) -> str:
        """An expression over ``record``: text; null where it is empty or "-"."""
        if name not in self.names:
            raise KeyError(name)
        return f"nullif(nullif(record.{name}, '-'), '')"


def _literal(pattern: str) -> str:
    return "'" + pattern.replace("'", "''") + "'"
