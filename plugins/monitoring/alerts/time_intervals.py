"""Times that come again: office hours, weekends, a maintenance window every month. Pure.

Alertmanager's time intervals: all of what an interval states must hold; a start is inclusive, the
end of a time of day exclusive, the ends of all other ranges inclusive.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = ("", "january", "february", "march", "april", "may", "june", "july", "august",
           "september", "october", "november", "december")  # fmt: skip
_DAY_MINUTES = 24 * 60

#: First and last, both included.
Range = tuple[int, int]


def _time_of_day(value: Any) -> int:
    """``HH:MM`` in minutes, up to 24:00."""
    if isinstance(value, int) and not isinstance(value, bool):
        minutes = value  # YAML reads 17:00 without quotes as 1020
    else:
        found = re.fullmatch(r"(\d{2}):(\d{2})", str(value), re.ASCII)
        minutes = int(found[1]) * 60 + int(found[2]) if found and int(found[2]) < 60 else -1
    if not 0 <= minutes <= _DAY_MINUTES:
        raise ValueError(f"{value!r} is not a time of day; write it as 09:00, up to 24:00")
    return minutes


def _time_text(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _written(names: Sequence[str]) -> PlainSerializer:
    def text(day: int) -> str:
        return names[day] if names else str(day)

    def write(ranges: Sequence[Range]) -> list[str]:
        return [text(a) if a == b else f"{text(a)}:{text(b)}" for a, b in ranges]

    return PlainSerializer(write, return_type=list[str])


def _ranges(names: Sequence[str], low: int, high: int, what: str) -> BeforeValidator:
    """Reads ``monday:friday``, ``sunday``, ``1:5`` or ``-1``, as text or numbers."""

    def number(text: str) -> int:
        text = text.strip().lower()
        if text and text in names:
            return names.index(text)
        if what == "weekdays" or not re.fullmatch(r"-?\d+", text, re.ASCII):
            raise ValueError
        found = int(text)
        if not low <= abs(found) <= high or (found < 0 and what != "days"):
            raise ValueError
        return found

    def read(value: Any) -> tuple[Range, ...]:
        entries = [value] if isinstance(value, str | int) else value
        if not isinstance(entries, Sequence):
            raise ValueError(f"must be a list of {what}")
        found = []
        for entry in entries:
            first, _, last = str(entry).partition(":")
            try:
                begin = number(first)
                end = number(last) if last else begin
            except ValueError:
                raise ValueError(
                    f"{entry!r} is none of the {what}; write for example {_EXAMPLES[what]}"
                ) from None
            if begin < 0 < end or (begin > end and not begin > 0 > end):
                raise ValueError(
                    f"{entry!r} ends before it begins; write two ranges"
                    + (": the week begins on sunday" if what == "weekdays" else "")
                )
            found.append((begin, end))
        return tuple(found)

    return BeforeValidator(read)


def _schema(one: str, *more: dict[str, Any]) -> WithJsonSchema:
    """Of ranges of what the pattern ``one`` matches, a list or one; ``more`` stand alone."""
    written = {"type": "string", "pattern": rf"^\s*{one}\s*(:\s*{one}\s*)?$"}
    entry = {"anyOf": [*more, written]}
    return WithJsonSchema({"anyOf": [{"type": "array", "items": entry}, entry]})


def _numbers(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


_EXAMPLES = {
    "weekdays": "monday:friday",
    "days": "1:5, or -1 for a month's last",
    "months": "january or 1:3",
    "years": "2030 or 2030:2032",
}


@cache
def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _known_zone(name: str) -> str:
    try:
        _zone(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(
            f"there is no time zone {name!r}; write for example Europe/Berlin, Asia/Shanghai or UTC"
        ) from None
    return name


TimeOfDay = Annotated[
    int,
    BeforeValidator(_time_of_day),
    PlainSerializer(_time_text, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"},
                _numbers(0, _DAY_MINUTES),
            ],
            "examples": ["09:00"],
        }
    ),
]
Weekdays = Annotated[
    tuple[Range, ...],
    _ranges(_WEEKDAYS, 0, 6, "weekdays"),
    _written(_WEEKDAYS),
    _schema("[A-Za-z]+", {"enum": list(_WEEKDAYS)}),
]
DaysOfMonth = Annotated[
    tuple[Range, ...],
    _ranges((), 1, 31, "days"),
    _written(()),
    _schema(r"-?\d+", _numbers(1, 31), _numbers(-31, -1)),
]
Months = Annotated[
    tuple[Range, ...],
    _ranges(_MONTHS, 1, 12, "months"),
    _written(_MONTHS),
    _schema(r"([A-Za-z]+|\d+)", {"enum": list(_MONTHS[1:])}, _numbers(1, 12)),
]
Years = Annotated[
    tuple[Range, ...],
    _ranges((), 1970, 9999, "years"),
    _written(()),
    _schema(r"\d+", _numbers(1970, 9999)),
]


class TimeRange(BaseModel):
    """Of a day, in minutes from midnight: the start is in it, the end is not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start_time: TimeOfDay
    end_time: TimeOfDay

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start_time >= self.end_time:
            raise ValueError(
                "end_time is not after start_time; past midnight write two: until 24:00, and "
                "from 00:00"
            )
        return self


class TimeInterval(BaseModel):
    """Points in time that have all of what is given; without anything: always.

    Attributes:
        location: the time zone of everything else.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    times: tuple[TimeRange, ...] = ()
    weekdays: Weekdays = ()
    days_of_month: DaysOfMonth = ()
    months: Months = ()
    years: Years = ()
    location: Annotated[str, AfterValidator(_known_zone)] = "UTC"

    def holds(self, at: datetime) -> bool:
        """Whether ``at``, which is aware, is one of them."""
        local = at.astimezone(_zone(self.location))
        minute = local.hour * 60 + local.minute
        weekday = (local.weekday() + 1) % 7
        return (
            (not self.times or any(o.start_time <= minute < o.end_time for o in self.times))
            and _within(self.weekdays, weekday)
            and (not self.days_of_month or any(_has_day(one, local) for one in self.days_of_month))
            and _within(self.months, local.month)
            and _within(self.years, local.year)
        )


def _within(ranges: Sequence[Range], value: int) -> bool:
    return not ranges or any(first <= value <= last for first, last in ranges)


def _has_day(days: Range, local: datetime) -> bool:
    """Negative days count from the month's end: -1 is its last."""
    length = calendar.monthrange(local.year, local.month)[1]
    first, last = (day if day > 0 else length + 1 + day for day in days)
    return first <= local.day <= last


def holds_any(intervals: Sequence[TimeInterval], at: datetime) -> bool:
    return any(one.holds(at) for one in intervals)
