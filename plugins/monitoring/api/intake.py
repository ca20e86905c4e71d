"""What the routes that take events in have in common: the plain body, and storing what it held."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request

from monitoring.api.access import Principal, requires
from monitoring.api.received import ReceivedEvents
from monitoring.intake import Bounds, Receipt, accept_events
from monitoring.intake.urgent import UrgentRuns
from userdb.store import Store

SenderDep = Annotated[Principal, Depends(requires("events:write"))]


async def _plain_body(request: Request) -> bytes:
    return await request.body()


#: The body as it was sent, unpacked. Read here, as a plain handler can't wait for it.
BodyDep = Annotated[bytes, Depends(_plain_body)]


def media_type(request: Request) -> str:
    """The body's media type, in small letters and without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def store_sent(request: Request, store: Store, sent: Sequence[Any], *, source: str) -> Receipt:
    """Judge and store events by the clock and the settings of this server. What is urgent runs the
    chain at once, where the app knows an Airflow.

    Raises:
        ConfigError: a setting is not valid.
        UserdbUnavailable: userdb failed; the sender has to send all of it again.
    """
    bounds = Bounds.from_environment()
    receipt = accept_events(store, sent, now=datetime.now(UTC), bounds=bounds, source=source)
    received: ReceivedEvents = request.app.state.received
    received.add(
        source,
        stored=receipt.stored,
        repeated=receipt.repeated,
        rejected=len(receipt.rejected),
    )
    urgent: UrgentRuns = request.app.state.urgent
    urgent.notice(store, receipt.new)
    return receipt
