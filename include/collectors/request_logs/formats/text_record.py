"""Lines of text that one regular expression takes apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

#: What stands between double quotes; a quote in it is escaped by a backslash.
QUOTED = r'"((?:[^"\\]|\\.)*)"'
#: Groups that RE2 finds in one pass over a line; with more it takes several times as long.
_GROUPS = 4

#: A part of a regular expression that has no other groups than values: what stands between them, or
#: name and pattern of one.
Part: TypeAlias = str | tuple[str, str]


class TextRecord:
    """``record``, an expression over ``line``, is a struct of what the groups of ``pattern`` hold.

    Args:
        pattern: in RE2 syntax, which takes linear time whatever the line.
        names: of the groups, in their order; unique.
        other: pattern of lines that are of the format too; all of their values are null.
        usual: what most lines look like, for speed: all ``names`` in their order. Whatever it
            matches, as a whole, ``pattern`` matches with the same values; and no value may hold
            what may follow it, so that RE2 needs one pass.
    """

    values: tuple[str, ...] = ()

    def __init__(
        self,
        pattern: str,
        names: Sequence[str],
        other: str | None = None,
        usual: Sequence[Part] | None = None,
    ) -> None:
        self.names = frozenset(names)
        is_other = "" if other is None else f" OR regexp_matches(line, {_literal(other)})"
        # where it doesn't match, all groups are empty
        general = f"""WHEN regexp_matches(line, {_literal(pattern)}){is_other}
                    THEN {_extract(pattern, names)}"""
        self.general = f"CASE {general} END"
        self.record = self.general if usual is None else f"CASE {_fast(usual)} {general} END"

    def value(self, name: str) -> str:
        """An expression over ``record``: text; null where it is empty or "-"."""
        if name not in self.names:
            raise KeyError(name)
        return f"nullif(nullif(record.{name}, '-'), '')"


def _fast(usual: Sequence[Part]) -> str:
    """The case of a line that ``usual`` matches: as many groups at once as one pass finds."""
    whole = "".join(part if isinstance(part, str) else f"(?:{part[1]})" for part in usual)
    before, grouped = "^", "^"
    names: list[str] = []
    portions = []
    for part in usual:
        if isinstance(part, str):
            before, grouped = before + part, grouped + part
            continue
        name, pattern = part
        names.append(name)
        before, grouped = f"{before}(?:{pattern})", f"{grouped}({pattern})"
        if len(names) == _GROUPS:
            portions.append(_extract(grouped, names))
            names, grouped = [], before
    if names:
        portions.append(_extract(grouped, names))
    values = portions[0] if len(portions) == 1 else f"struct_concat({', '.join(portions)})"
    return f"WHEN regexp_matches(line, {_literal(f'^{whole}$')}) THEN {values}"


def _extract(pattern: str, names: Sequence[str]) -> str:
    fields = ", ".join(f"'{name}'" for name in names)
    return f"regexp_extract(line, {_literal(pattern)}, [{fields}])"


def _literal(pattern: str) -> str:
    return "'" + pattern.replace("'", "''") + "'"
