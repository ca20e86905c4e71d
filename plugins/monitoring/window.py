"""Windows of event time, and the one function that says which window a run is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from userdb.errors import NaiveDatetimeError, WindowError
from userdb.times import from_minute, require_aware, to_minute

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, order=True)
class Window:
    """The half-open range of event time [start, end), aligned to minutes, in UTC.

    Raises:
        WindowError: empty, reversed, or not on whole minutes.
        NaiveDatetimeError: a bound without a time zone.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            value = require_aware(getattr(self, name), f"window {name}")
            if value.second or value.microsecond:
                raise WindowError(
                    f"window {name} {value.isoformat()} is not on a whole minute; "
                    "windows have a resolution of one minute"
                )
            object.__setattr__(self, name, value)
        if self.start >= self.end:
            raise WindowError(
                f"window {self.start.isoformat()} to {self.end.isoformat()} is empty; "
                "the end must be after the start"
            )

    @classmethod
    def of_minutes(cls, first: int, stop: int) -> Window:
        """The window of the minutes [first, stop), counted from 1970 UTC."""
        return cls(from_minute(first), from_minute(stop))

    @property
    def first_minute(self) -> int:
        return to_minute(self.start)

    @property
    def stop_minute(self) -> int:
        return to_minute(self.end)

    def extended(self, before: timedelta) -> Window:
        """This window with a start that lies ``before`` earlier."""
        return Window(self.start - before, self.end)

    def __str__(self) -> str:
        return f"[{self.start:%Y-%m-%dT%H:%MZ}, {self.end:%Y-%m-%dT%H:%MZ})"


def parse_time(value: str | datetime, name: str) -> datetime:
    """An aware UTC time from RFC 3339 text or a datetime.

    Raises:
        WindowError: not a time, or one without a time zone.
    """
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())
    except ValueError:
        raise WindowError(
            f"{name} {value!r} is not a time; write it as 2026-01-31T10:00:00Z"
        ) from None
    try:
        return require_aware(at, name)
    except NaiveDatetimeError as error:
        raise WindowError(str(error)) from None


def last_complete_period(at: datetime, period: timedelta) -> Window:
    """The last epoch-aligned period that had ended by ``at``."""
    minutes = period // MINUTE
    end = to_minute(at) // minutes * minutes
    return Window.of_minutes(end - minutes, end)


def resolve_window(
    *,
    params: Mapping[str, Any],
    data_interval: tuple[datetime | None, datetime | None],
    logical_date: datetime | None,
    run_after: datetime | None,
    now: datetime,
    period: timedelta,
) -> Window:
    """The window that a DAG run is for; the same in every task of the run.

    Explicit params ``window_start`` and ``window_end``, else a data interval that is not empty,
    else the last complete ``period`` before the logical date, or before ``run_after``.

    Raises:
        WindowError: a bound that is no time; one param without the other; a window that ends
            after ``now``; or a run without any date.
    """
    start, end = params.get("window_start"), params.get("window_end")
    if bool(start) != bool(end):
        raise WindowError("window_start and window_end belong together: give both or neither")
    if start and end:
        window = Window(parse_time(start, "window_start"), parse_time(end, "window_end"))
    elif data_interval[0] and data_interval[1] and data_interval[0] < data_interval[1]:
        window = Window(data_interval[0], data_interval[1])
    else:
        before = logical_date or run_after
        if before is None:
            raise WindowError(
                "the run has no data interval, no logical date and no run_after; "
                "give window_start and window_end"
            )
        window = last_complete_period(before, period)
    refuse_future(window, now)
    return window


def refuse_future(window: Window, now: datetime) -> None:
    """Raise WindowError where ``window`` ends after ``now``: its facts aren't all there yet."""
    if window.end > require_aware(now, "now"):
        raise WindowError(
            f"window {window} ends after now ({now:%Y-%m-%dT%H:%M:%SZ}); wait until it is over"
        )
