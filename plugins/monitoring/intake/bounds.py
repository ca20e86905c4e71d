"""How late and how early an event may come."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitoring.duration import format_duration, parse_duration
from userdb.errors import ConfigError

#: Environment variables, as durations such as ``7d`` or ``10m``.
MAX_AGE_SETTING = "MONITORING_EVENTS_MAX_AGE"
MAX_AHEAD_SETTING = "MONITORING_EVENTS_MAX_AHEAD"
_LONGEST = timedelta(weeks=52 * 20)


@dataclass(frozen=True)
class Bounds:
    """An event is taken where it happened at most ``max_age`` ago, and at most ``max_ahead`` from
    now (clocks differ).
    """

    max_age: timedelta = timedelta(days=30)
    max_ahead: timedelta = timedelta(minutes=10)

    @classmethod
    def from_environment(cls) -> Bounds:
        """The bounds of the settings; the defaults where they are unset.

        Raises:
            ConfigError: a setting is not a duration.
        """
        return cls(
            _setting(MAX_AGE_SETTING, cls.max_age), _setting(MAX_AHEAD_SETTING, cls.max_ahead)
        )

    def refusal(self, occurred_at: datetime, now: datetime) -> str | None:
        """Why an event of that time isn't taken; None where it is."""
        if occurred_at > now + self.max_ahead:
            ahead = format_duration(self.max_ahead)
            return (
                f"lies more than {ahead} after now ({now:%Y-%m-%dT%H:%M:%SZ}): set the sender's "
                f"clock, or raise {MAX_AHEAD_SETTING}"
            )
        if occurred_at < now - self.max_age:
            age = format_duration(self.max_age)
            return f"lies more than {age} before now: raise {MAX_AGE_SETTING} to take it"
        return None


def before_floor(floor: datetime) -> str:
    """Why an event before the retention floor isn't taken."""
    return f"lies before {floor:%Y-%m-%dT%H:%MZ}, up to which counts were purged"


def _setting(name: str, default: timedelta) -> timedelta:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{name}: {error}") from None
    if value > _LONGEST:
        raise ConfigError(f"{name}: {text!r} is more than {format_duration(_LONGEST)}")
    return value
