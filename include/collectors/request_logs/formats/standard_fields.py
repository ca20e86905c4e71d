"""The fields of a request, from a record's values that have their usual names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from include.collectors.request_logs.formats.request_line import (
    first_address,
    host,
    last_address,
    method,
    path,
    target,
)
from include.collectors.request_logs.formats.times import (
    UNITS,
    any_time,
    milliseconds,
)

#: Names of values that are text, and need no more than being read.
_TEXTS = ("user", "user_agent", "request_id", "service", "route")


class Record(Protocol):
    """What a line was taken apart into."""

    names: frozenset[str]
    #: as LogFormat has them
    record: str
    values: tuple[str, ...]

    def value(self, name: str) -> str:
        """An expression over ``record``: text; null where the line doesn't tell."""
        ...


def first(expressions: Iterable[str]) -> str | None:
    """The first that is not null; None where there are no expressions."""
    found = list(expressions)
    if len(found) < 2:
        return found[0] if found else None
    return f"coalesce({', '.join(found)})"


def standard_fields(record: Record) -> dict[str, str]:
    """Expressions for the fields of ``LogFormat`` that the values of ``record`` tell.

    Names of values, beside those of fields:

    - ``time``: seconds since 1970, ISO 8601 or the Common Log Format's; ``time_ms`` and the like:
      the same, but that a number is of that unit
    - ``duration_s``, ``duration_ms`` and the like
    - ``request``: a request line; ``target``: a path with its query string, or a URL
    - ``bytes``: of the response
    - ``client``: addresses between commas, the client's first; ``instance``: addresses, the last
      of which answered
    """

    def value(name: str) -> list[str]:
        return [record.value(name)] if name in record.names else []

    requests = value("request")
    targets = value("target") + [_told(target(request)) for request in requests]
    uri = first(targets)
    durations = [
        milliseconds(record.value(f"duration_{unit}"), unit)
        for unit in UNITS
        if f"duration_{unit}" in record.names
    ]
    times = [any_time(time) for time in value("time")] + [
        any_time(record.value(f"time_{unit}"), unit)
        for unit in UNITS
        if f"time_{unit}" in record.names
    ]
    found = {
        "occurred_at": first(times),
        "client": first(first_address(client) for client in value("client")),
        "method": first(value("method") + [_told(method(request)) for request in requests]),
        "host": first(value("host") + ([] if uri is None else [_told(host(uri))])),
        "path": None if uri is None else path(uri),
        "status": first(f"try_cast({status} AS INTEGER)" for status in value("status")),
        "duration_ms": first(durations),
        "bytes_sent": first(f"try_cast({number} AS BIGINT)" for number in value("bytes")),
        "instance": first(last_address(address) for address in value("instance")),
        **{name: first(value(name)) for name in _TEXTS},
    }
    return {name: made for name, made in found.items() if made is not None}


def _told(text: str) -> str:
    return f"nullif({text}, '')"
