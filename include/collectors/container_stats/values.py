"""Values out of runtimes' JSON, as userdb's columns can hold them: pure functions.

One value that doesn't fit would fail the insert of all containers of its host.
"""

from __future__ import annotations

from datetime import datetime

from userdb.times import require_aware

#: userdb's columns are signed; Podman says 2^64 - 1 for "no limit".
_MAX_COUNT, _MAX_SMALL = 2**63 - 1, 2**31 - 1


def count(value: object) -> int | None:
    """``value`` if it is a count of bytes, nanoseconds and the like, else None."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _MAX_COUNT else None


def small_count(value: object) -> int | None:
    """``value`` if it is a count of restarts, processes and the like, else None."""
    number = count(value)
    return None if number is None or number > _MAX_SMALL else number


def exit_code(value: object) -> int | None:
    """``value`` if it is an exit code, else None. Windows' are of 32 bits, signed or not."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_MAX_SMALL - 1 <= value <= _MAX_SMALL else None


def text(value: object, most: int | None = None) -> str:
    """``value`` as text of at most ``most`` characters; JSON has half characters, UTF-8 not."""
    return str(value).encode("utf-8", "replace").decode()[:most]


def parse_time(value: object) -> datetime | None:
    """A time, to the microsecond; None for none, and for Docker's "never" (the year 1).

    Raises:
        ValueError: it is no time, has no zone, or lies outside the years 1 to 9999 in UTC.
    """
    if not isinstance(value, str) or not value or value.startswith("0001-"):
        return None
    try:
        return require_aware(datetime.fromisoformat(value), "a time of the runtime's")
    except OverflowError as error:
        raise ValueError(f"{value!r} is no time: {error}") from None
