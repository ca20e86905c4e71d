"""What a log format is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
class LogFormat:
    """A log format, as DuckDB expressions, so that a block of lines is parsed at once.

    Attributes:
        name: what sources.yaml calls it.
        record: expression over ``line`` (VARCHAR) whose value ``record`` is; null for a line
            that is not of this format. It must not raise, whatever the line.
        fields: an expression over ``record`` for each of ``FIELDS`` that the format has. They
            must not raise; null or empty text, and "-", mean that the log doesn't tell. Times
            without a zone are TIMESTAMP AT TIME ZONE ``getvariable('zone')``.
        refusal: what to tell of a line whose ``record`` is null.
    """

    name: str
    record: str
    fields: Mapping[str, str]
    refusal: str

    def __post_init__(self) -> None:
        unknown = sorted(set(self.fields) - set(FIELDS))
        if unknown or "occurred_at" not in self.fields or "status" not in self.fields:
            raise ValueError(
                f"log format {self.name}: fields must hold occurred_at and status, and only "
                f"{', '.join(FIELDS)}; unknown are: {unknown}"
            )
