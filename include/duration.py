"""Durations as configuration writes them: ``30s``, ``10m``, ``1h30m``, ``7d``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[wdhms])")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(value: Any) -> Any:
    """A timedelta from text such as ``10m``; anything but text is returned as it is.

    A bare number is refused, except 0: nobody can tell its unit.

    Raises:
        ValueError: not a duration.
    """
    if isinstance(value, timedelta):
        return value
    if value in (0, "0") and not isinstance(value, bool):
        return timedelta(0)
    if isinstance(value, str) and _WHOLE.fullmatch(text := value.strip().replace(" ", "")):
        return timedelta(
            seconds=sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        )
    raise ValueError(f"{value!r} is not a duration; write it as 30s, 10m, 1h30m or 7d")


#: A pydantic field that takes ``10m`` and holds a timedelta; as JSON it is a number of seconds.
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(lambda value: value.total_seconds(), return_type=float, when_used="json"),
]
