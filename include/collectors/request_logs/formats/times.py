"""Times as logs write them, as DuckDB expressions of type TIMESTAMPTZ; null where it is none."""

from __future__ import annotations

from typing import Literal

Unit = Literal["s", "ms", "us", "ns"]
UNITS: tuple[Unit, ...] = ("s", "ms", "us", "ns")
#: How many of a unit make a second.
PER_SECOND: dict[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
#: The zone of times that name none: a variable of the parser's connection.
ZONE = "getvariable('zone')"


def epoch_time(value: str, unit: Unit = "s") -> str:
    """A number since 1970, as text."""
    number = f"try_cast({value} AS DOUBLE)"
    micros = f"round({number} * {1_000_000 / PER_SECOND[unit]!r})::BIGINT"
    return f"""CASE WHEN {number} BETWEEN 0 AND {PER_SECOND[unit]}e11
                 THEN make_timestamptz({micros}) END"""


def iso_time(value: str) -> str:
    """ISO 8601 or RFC 3339; without a zone, in the source's."""
    return f"""coalesce(
            CASE WHEN regexp_matches({value}, '^\\d{{4}}-.*(Z|[+-]\\d\\d(:?\\d\\d)?)$')
                 THEN try_cast({value} AS TIMESTAMPTZ) END,
            try_cast({value} AS TIMESTAMP) AT TIME ZONE {ZONE})"""


def clf_time(value: str) -> str:
    """``31/Jan/2026:10:00:00 +0000``, the Common Log Format's."""
    return f"try_strptime({value}, '%d/%b/%Y:%H:%M:%S %z')::TIMESTAMPTZ"


def local_time(value: str, pattern: str) -> str:
    """A time without a zone, in the source's."""
    return f"try_strptime({value}, '{pattern}') AT TIME ZONE {ZONE}"


def any_time(value: str, unit: Unit = "s") -> str:
    """A number since 1970, ISO 8601, or the Common Log Format's."""
    return f"coalesce({epoch_time(value, unit)}, {iso_time(value)}, {clf_time(value)})"


def milliseconds(value: str, unit: Unit) -> str:
    """A duration in ``unit`` as milliseconds, to the microsecond."""
    return f"round(try_cast({value} AS DOUBLE) * {1000 / PER_SECOND[unit]!r}, 3)"
