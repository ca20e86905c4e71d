"""Routes: events as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from monitoring.api.intake import BodyDep, SenderDep, media_type, store_sent
from monitoring.api.store import StoreDep
from monitoring.intake import MAX_EVENTS, Receipt, SentEvent
from monitoring.intake.documents import read_document

router = APIRouter(tags=["events"])

_EVENT: dict[str, Any] = SentEvent.model_json_schema()
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        _EVENT,
                        {"type": "array", "items": _EVENT, "maxItems": MAX_EVENTS},
                    ]
                },
                "example": _EVENT["examples"][0],
            },
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "an event a line"},
                "example": '{"message": "one"}\n{"message": "two", "level": "critical"}\n',
            },
        },
    }
}


class RejectedEvent(BaseModel):
    """An event that was not stored, and why."""

    index: int = Field(description="its position in the request, from 0")
    event_id: str | None = Field(description="its id, where it has one that can be read")
    field: str | None = Field(description="the first field that is wrong", examples=["occurred_at"])
    message: str = Field(description="all that is wrong with it")


class Accepted(BaseModel):
    """What became of the events of a request."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"stored": 2, "repeated": 1, "rejected": []}]}
    )

    stored: int = Field(description="events that were stored")
    repeated: int = Field(description="events whose event_id was stored before, left as they were")
    rejected: list[RejectedEvent] = Field(description="events that were not stored")

    @classmethod
    def of(cls, receipt: Receipt) -> Accepted:
        return cls(
            stored=receipt.stored,
            repeated=receipt.repeated,
            rejected=[
                RejectedEvent(
                    index=one.index, event_id=one.event_id, field=one.field, message=one.message
                )
                for one in receipt.rejected
            ],
        )


@router.post(
    "/events",
    summary="Report events",
    openapi_extra=_BODY,
    responses={
        413: {"description": f"More than {MAX_EVENTS:,} events, or too many bytes"},
        503: {"description": "userdb can't be written to: send the same again later"},
    },
)
def report(sender: SenderDep, store: StoreDep, request: Request, body: BodyDep) -> Accepted:
    """Store one event, a JSON array of events, or one a line.

    Each is judged by itself: one that is wrong is rejected, and the others are stored. What is
    stored is on disk when the answer comes. An answer that got lost is no harm: what was stored is
    known by its `event_id` and counted as `repeated`.
    """
    sent = read_document(body, media_type(request))
    if len(sent) > MAX_EVENTS:
        raise HTTPException(413, f"{len(sent):,} events are too many: send {MAX_EVENTS:,} at once")
    return Accepted.of(store_sent(request, store, sent, source=sender.name.partition(":")[2]))
