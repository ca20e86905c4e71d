"""Points in time: aware UTC, and minutes since 1970-01-01 UTC, as minute tables name them.

Needs the standard library alone: the analysis' pure core uses it too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from userdb.errors import NaiveDatetimeError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


def require_aware(value: datetime, name: str = "datetime") -> datetime:
    """Return ``value`` in UTC, as a plain datetime.

    Raises:
        NaiveDatetimeError: ``value`` has no time zone.
    """
    if value.tzinfo is UTC and type(value) is datetime:
        return value
    if value.tzinfo is None or value.utcoffset() is None:
        raise NaiveDatetimeError(
            f"{name} {value.isoformat()} has no time zone; give an aware one, "
            "for example datetime.now(timezone.utc) or 2026-01-31T10:00:00+00:00"
        )
    at = value.astimezone(UTC)
    if type(at) is not datetime:
        # Airflow's are pendulum's, pandas' are its own: subclasses that don't mix with NumPy or
        # with what a database driver gives back
        at = datetime.combine(at.date(), at.time(), UTC)
    return at


def to_minute(at: datetime) -> int:
    """The minute that holds ``at``; for a time on a whole minute, that time itself.

    Raises:
        NaiveDatetimeError: ``at`` has no time zone.
    """
    return (require_aware(at) - _EPOCH) // _MINUTE


def to_minute_up(at: datetime) -> int:
    """The first minute that begins at or after ``at``.

    Raises:
        NaiveDatetimeError: ``at`` has no time zone.
    """
    return -((_EPOCH - require_aware(at)) // _MINUTE)


def from_minute(minute: int) -> datetime:
    """The start of ``minute``, aware UTC."""
    return _EPOCH + minute * _MINUTE
