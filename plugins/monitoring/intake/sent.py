"""What a sender says of an event, before it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

#: Deepest nesting of ``detail``.
MAX_DEPTH = 100
#: Other names that senders have for our levels.
_LEVELS = {
    "trace": "info",
    "debug": "info",
    "notice": "info",
    "warn": "warning",
    "err": "error",
    "fatal": "critical",
    "emergency": "critical",
    "alert": "critical",
}


def known_level(value: Any) -> Any:
    """Our name for a level, where we have one."""
    if not isinstance(value, str):
        return value
    name = value.strip().lower()
    return _LEVELS.get(name, name)


def _only_text(value: Any) -> Any:
    # pydantic would take numbers too, and guess whether they are seconds or milliseconds
    if isinstance(value, str | datetime | None):
        return value
    raise ValueError("must be text as RFC 3339 has it, such as 2026-01-31T10:00:00Z")


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from None


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    inner: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner = [
            one
            for outer in inner
            for one in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(one, dict | list)
        ]
        if not inner:
            return value
    raise ValueError(f"is nested in more than {MAX_DEPTH} levels")


Time = Annotated[AwareDatetime, BeforeValidator(_only_text), AfterValidator(_utc)]
Label = Annotated[str | None, Field(description="cut after 255 characters")]


class SentEvent(BaseModel):
    """An event as it is sent. Only ``message`` has to be there."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "event_id": "5f2b1c0e9d7a4c6f8b3a2e1d0c9b8a76",
                    "event_type": "gateway",
                    "source": "route_management",
                    "level": "error",
                    "message": "upstream sim-7 timed out after 30 s",
                    "occurred_at": "2026-01-31T10:00:00Z",
                    "service": "sim-7",
                    "exception_type": "requests.exceptions.ReadTimeout",
                    "detail": {"route": "/sim/7"},
                }
            ]
        },
    )

    message: Annotated[str, Field(description="cut after 65,536 characters")]
    event_id: Annotated[
        str | None,
        Field(
            min_length=1,
            pattern=r"\S",
            description="the same id is stored once. Without one, it is made of the event's "
            "content where occurred_at is given, else a new one",
        ),
    ] = None
    event_type: Literal["gateway", "container", "custom"] = "custom"
    source: Annotated[str | None, Field(description="what reports it")] = None
    level: Annotated[
        Literal["info", "warning", "error", "critical"], BeforeValidator(known_level)
    ] = "error"
    detail: Annotated[
        Annotated[dict[str, Any], AfterValidator(_shallow)] | None,
        Field(description="any JSON object"),
    ] = None
    occurred_at: Annotated[Time | None, Field(description="default: now")] = None
    created_at: Annotated[
        Time | None, Field(description="when it was reported first; default: now")
    ] = None
    service: Label = None
    instance: Label = None
    container: Label = None
    exception_type: Label = None
    fingerprint: Annotated[
        str | None,
        Field(description="groups events of one cause; over 32 characters its hash is kept"),
    ] = None


@dataclass(frozen=True)
class Unreadable:
    """Stands where an event should be: what was sent there can't be read, and why."""

    why: str
