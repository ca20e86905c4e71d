"""A server's format string, whose variables stand between literal text, as a regular expression."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from include.collectors.request_logs.formats.text_record import TextRecord


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
    for at, piece in enumerate(pieces):
        if isinstance(piece, str):
            pattern += re.escape(piece)
            continue
        found = piece.pattern or _between(_text(pieces, at - 1), piece, _text(pieces, at + 1))
        if piece.name is None or piece.name in names:
            found = found.replace("(", "(?:", 1)
        else:
            names.append(piece.name)
        pattern += found
    return TextRecord(pattern + r"\s*$", names)


def _text(pieces: Sequence[str | Variable], at: int) -> str:
    piece = pieces[at] if 0 <= at < len(pieces) else ""
    return piece if isinstance(piece, str) else ""


def _between(before: str, variable: Variable, after: str) -> str:
    if before.endswith('"') and after.startswith('"'):
        return r'((?:[^"\\]|\\.)*)'
    if before.endswith("[") and after.startswith("]"):
        return r"([^\]]*)"
    return r"(\S*?)" if variable.solid else "(.*?)"
