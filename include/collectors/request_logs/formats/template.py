"""A server's format string, whose variables stand between literal text, as a regular expression."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from include.collectors.request_logs.formats.text_record import Part, TextRecord


@dataclass(frozen=True)
class Variable:
    """A variable of a format string.

    Attributes:
        name: of its value in the record; None for one that is not needed.
        solid: its values hold no blanks.
        pattern: what it looks like, where that doesn't follow from its neighbours; it holds one
            group, the value.
    """

    name: str | None
    solid: bool = False
    pattern: str | None = None


def compile_template(pieces: Sequence[str | Variable]) -> TextRecord:
    """The record of lines that are written by ``pieces``: literal text, and variables.

    What a value may hold follows from the text around it: between double quotes, anything with
    quotes escaped by a backslash; between brackets, anything but a bracket.
    """
    pattern = r"^\x00*"
    names: list[str] = []
    usual: list[Part] | None = []
    for at, piece in enumerate(pieces):
        if isinstance(piece, str):
            literal = re.escape(piece)
            pattern += literal
            usual = None if usual is None else [*usual, literal]
            continue
        before, after = _text(pieces, at - 1), _text(pieces, at + 1)
        found = piece.pattern or _between(before, piece, after)
        is_value = piece.name is not None and piece.name not in names
        pattern += found if is_value else found.replace("(", "(?:", 1)
        is_last = at == len(pieces) - 1
        if piece.pattern is not None or not (after or is_last):
            usual = None
        if usual is not None:
            value = _up_to(before, piece, after)
            usual.append((piece.name, value) if is_value and piece.name else value)
        if is_value and piece.name:
            names.append(piece.name)
    if usual is not None:
        usual.append(r"\s*")
    return TextRecord(pattern + r"\s*$", names, usual=usual if names else None)


def _text(pieces: Sequence[str | Variable], at: int) -> str:
    piece = pieces[at] if 0 <= at < len(pieces) else ""
    return piece if isinstance(piece, str) else ""


def _between(before: str, variable: Variable, after: str) -> str:
    if before.endswith('"') and after.startswith('"'):
        return r'((?:[^"\\]|\\.)*)'
    if before.endswith("[") and after.startswith("]"):
        return r"([^\]]*)"
    return r"(\S*?)" if variable.solid else "(.*?)"


def _up_to(before: str, variable: Variable, after: str) -> str:
    """What ``_between`` gives, narrowed: it ends at the first character of what follows."""
    if before.endswith('"') and after.startswith('"'):
        return r'[^"\\\x00]*'
    blanks = r"\n" if after and not variable.solid else r"\s"
    return rf"[^{re.escape(after[:1])}{blanks}\x00]*"
