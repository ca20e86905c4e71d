"""Durations as configuration writes them: ``30s``, ``10m``, ``1h30m``, ``7d``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_PATTERN = r"^(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?$"


def parse_duration(value: Any) -> timedelta:
    """A timedelta from text such as ``1h30m``, or ``0``.

    A bare number other than 0 is refused: nobody can tell its unit.

    Raises:
        ValueError: not a duration.
    """
    if isinstance(value, timedelta):
        return value
    text = str(value).strip()
    if text == "0":
        return timedelta(0)
    if isinstance(value, str) and text and re.match(_PATTERN, text):
        parts = re.findall(r"(\d+)([wdhms])", text)
        seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
        if seconds < timedelta.max.total_seconds():
            return timedelta(seconds=seconds)
        raise ValueError(f"{value!r} is too long a duration")
    raise ValueError(f"{value!r} is not a duration; write it as 30s, 10m, 1h30m or 7d")


def format_duration(value: timedelta) -> str:
    """The shortest text that ``parse_duration`` reads as ``value``, down to seconds."""
    rest = int(value.total_seconds())
    text = ""
    for unit, seconds in _UNITS.items():
        number, rest = divmod(rest, seconds)
        text += f"{number}{unit}" if number else ""
    return text or "0s"


#: A pydantic field that takes ``10m`` and holds a timedelta; as JSON it is such text again.
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": _PATTERN}, {"const": 0}],
            "examples": ["5m", "1h30m"],
        }
    ),
]
