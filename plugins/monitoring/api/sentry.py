"""Routes: envelopes of Sentry's SDKs, at the path that they make of a DSN."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from monitoring.api.intake import BodyDep, SenderDep, store_sent
from monitoring.api.store import StoreDep
from monitoring.intake.sentry import SOURCE, read_envelope
from userdb.errors import InvalidRequestError

router = APIRouter(tags=["events"])


class EnvelopeTaken(BaseModel):
    """The id of the envelope's event; none where it has none."""

    id: str | None = Field(default=None, examples=["fc6d8c0c43fc4630ad850ee518f1b9d0"])


@router.post(
    "/api/{project}/envelope/",
    summary="Report a Sentry envelope",
    response_model_exclude_none=True,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-sentry-envelope": {
                    "schema": {"type": "string", "format": "binary"},
                    "example": '{"event_id":"fc6d8c0c43fc4630ad850ee518f1b9d0"}\n'
                    '{"type":"event"}\n{"level":"error","message":"payment failed"}\n',
                }
            },
        }
    },
    responses={503: {"description": "userdb can't be written to"}},
)
def envelope(
    sender: SenderDep,
    store: StoreDep,
    request: Request,
    body: BodyDep,
    project: Annotated[str, Path(description="any; the DSN has to have one")],
) -> EnvelopeTaken:
    """Store the events of an envelope. Its other items (transactions, sessions, …) are left out.

    The API key is the DSN's public key: `http://KEY@host:8790/1`.
    """
    found = read_envelope(body)
    receipt = store_sent(request, store, found.events, source=SOURCE)
    if receipt.rejected and len(receipt.rejected) == len(found.events):
        raise InvalidRequestError(f"the event was rejected: {receipt.rejected[0].message}")
    return EnvelopeTaken(id=found.event_id)
