"""What routes that read have in common: times, ranges of time, matchers of labels."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, Field

from monitoring.alerts.matchers import Matcher
from userdb.errors import InvalidRequestError

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def _storable(at: datetime) -> datetime:
    # compared first: times near the ends of the calendar can't even be turned into UTC
    if not _FIRST <= at <= _LAST:
        raise ValueError("must lie between the years 1970 and 9000")
    return at.astimezone(UTC)


#: A time with its zone, handed on in UTC.
Instant = Annotated[
    AwareDatetime, AfterValidator(_storable), Field(examples=["2026-03-01T10:00:00Z"])
]
Since = Annotated[Instant | None, Query(alias="from", description="inclusive, RFC 3339")]
Until = Annotated[Instant | None, Query(alias="to", description="exclusive, RFC 3339")]
Limit = Annotated[int, Query(ge=1, le=5000, description="at most so many")]
PolicyName = Annotated[str | None, Query(max_length=128, description="of one policy")]
Matchers = Annotated[
    list[str],
    Query(
        max_length=20,
        description='label matchers, all of which must hold: = != =~ !~, as in `service="sim"`; '
        "`alertname` is the policy, `severity` the severity",
        examples=[['service=~"sim-.*"', "severity!=info"]],
    ),
]


def parse_matchers(texts: list[str], field: str) -> tuple[Matcher, ...]:
    """Raises InvalidRequestError, which names each text that is no matcher."""
    found, errors = [], []
    for text in texts:
        try:
            found.append(Matcher.parse(text))
        except ValueError as error:
            errors.append(str(error))
    if errors:
        raise InvalidRequestError(
            "; ".join(errors), errors=[{"field": field, "message": one} for one in errors]
        )
    return tuple(found)
