"""What a log format is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

#: Columns of a normalised request, and their DuckDB types. Null where a log doesn't tell.
FIELDS: Mapping[str, str] = {
    "occurred_at": "TIMESTAMPTZ",
    "client": "VARCHAR",
    "method": "VARCHAR",
    "host": "VARCHAR",
    # without the query string, which may carry secrets
    "path": "VARCHAR",
    "status": "INTEGER",
    "duration_ms": "DOUBLE",
    "bytes_sent": "BIGINT",
    "user": "VARCHAR",
    "user_agent": "VARCHAR",
    "request_id": "VARCHAR",
    # named by the gateway itself
    "service": "VARCHAR",
    "route": "VARCHAR",
    # address of the upstream that answered
    "instance": "VARCHAR",
}


@dataclass(frozen=True)
class Verdict:
    """Something beside the status that says how a request ended.

    Attributes:
        outcome: one of userdb's OUTCOMES.
        when: a boolean expression over ``record``; must not raise.
        reason: a text expression over ``record``: the field that said so, and what it said.
    """

    outcome: str
    when: str
    reason: str


@dataclass(frozen=True)
class LogFormat:
    """A log format, as DuckDB expressions, so that a block of lines is parsed at once.

    Attributes:
        name: what sources.yaml calls it.
        record: expression over ``line`` (VARCHAR) whose value ``record`` is; null for a line
            that is not of this format. It must not raise, whatever the line.
        values: expressions over ``record`` which are columns, ``value_1`` and so on, to those
            below: what is needed more than once, and would be planned each time.
        fields: an expression over ``record`` for each of ``FIELDS`` that the format has. They
            must not raise; null or empty text, and "-", mean that the log doesn't tell. Times
            without a zone are TIMESTAMP AT TIME ZONE ``getvariable('zone')``.
        refusal: what to tell of a line whose ``record`` is null.
        verdicts: what says how a request ended, whatever its status; the first that holds. A
            request without a status needs one.
        status_name: what the log calls the status, for the reason of an outcome.
        open_ended: what a line has after the last field is ignored.
        other: a boolean expression over ``record``: the line is of this format and tells of no
            request; such a line is neither a request nor refused.
    """

    name: str
    record: str
    fields: Mapping[str, str]
    refusal: str
    values: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    status_name: str = "status"
    other: str | None = None
    open_ended: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.fields) - set(FIELDS))
        ends = "status" in self.fields or self.verdicts
        if unknown or "occurred_at" not in self.fields or not ends:
            raise ValueError(
                f"log format {self.name}: fields must hold occurred_at and status (or verdicts "
                f"must tell how requests ended), and only {', '.join(FIELDS)}; unknown are: "
                f"{unknown}"
            )


@dataclass(frozen=True)
class FormatKind:
    """A line of the registry.

    Attributes:
        build: the format, from its validated options (None where it takes none).
        options: the model of a source's ``options``; None where it takes none.
    """

    name: str
    build: Callable[[Any], LogFormat]
    options: type[BaseModel] | None = None


def fixed(log_format: LogFormat) -> FormatKind:
    """A format that takes no options."""
    return FormatKind(log_format.name, lambda _options: log_format)
