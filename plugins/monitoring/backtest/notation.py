"""How unit tests write series: promtool's expanding notation. Pure.

1 2.5 -3        values
0x5             six zeros: the value, and five more
1+2x3  9-2x3    1 3 5 7, and 9 7 5 3
_  _x3  stale   a missing sample; three; one
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TERM = re.compile(rf"([+-]?{_NUMBER})(?:(?:([+-])({_NUMBER}))?x(\d+))?")
_MISSING = re.compile(r"_(?:x(\d+))?")
_SERIES = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(?:\{(.*)\})?\s*", re.DOTALL)
_LABEL = re.compile(r"""\s*([A-Za-z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

#: Values of one series: a year of minutes.
MOST_VALUES = 366 * 24 * 60


@dataclass(frozen=True)
class SeriesName:
    """A series as written: ``requests.count{service="a"}``."""

    signal: str
    labels: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> SeriesName:
        """Raises ValueError where ``text`` is no series."""
        match = _SERIES.fullmatch(text)
        if match is None:
            raise ValueError(f'{text!r} is not a series; write it as requests.count{{service="a"}}')
        labels: dict[str, str] = {}
        rest, at = match[2] or "", 0
        while rest[at:].strip():
            label = _LABEL.match(rest, at)
            if label is None:
                raise ValueError(
                    f'{rest[at:].strip()!r} is not a label; write labels as {{service="a", '
                    'route="/x"}'
                )
            if label[1] in labels:
                raise ValueError(f"the label {label[1]!r} is given twice")
            labels[label[1]] = _ESCAPED.sub(lambda one: _unescape(one[1]), label[2])
            at = label.end()
        return cls(match[1], labels)


def _unescape(letter: str) -> str:
    return {"n": "\n", "t": "\t"}.get(letter, letter)


def expand(text: str) -> tuple[float | None, ...]:
    """The values that ``text`` stands for; None where a sample is missing.

    Raises:
        ValueError: not the notation, or more than ``MOST_VALUES``.
    """
    values: list[float | None] = []
    for term in text.split():
        if term == "stale":
            values.append(None)
            continue
        missing, given = _MISSING.fullmatch(term), _TERM.fullmatch(term)
        times = int((missing and missing[1]) or (given and given[4]) or 0)
        if len(values) + times > MOST_VALUES:
            raise ValueError(f"{term!r}: more than {MOST_VALUES} values")
        if missing is not None:
            values += [None] * (times if missing[1] else 1)
        elif given is not None:
            step = float((given[2] or "+") + (given[3] or "0"))
            values += [float(given[1]) + step * number for number in range(times + 1)]
        else:
            raise ValueError(
                f"{term!r} is not a value; write numbers, 1x5, 0+10x5, _ or _x5 for missing ones"
            )
    return tuple(values)
