"""Judging and storing events: one that is wrong is rejected by name, the others are stored."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from include.reporting.event import repair_event
from monitoring.intake.bounds import Bounds, before_floor
from monitoring.intake.identity import ContentIds, canonical
from monitoring.intake.sent import SentEvent, Unreadable
from userdb.events import EventRecord, store_each
from userdb.retention import read_floors
from userdb.store import Store
from userdb.times import from_minute

log = logging.getLogger(__name__)

#: Most events of a request to our own endpoint, and events stored in one transaction.
MAX_EVENTS = 1000
_FAMILY = "event"
#: Purges keep at least a day of minutes: for events of this age userdb need not be asked.
_SURELY_KEPT = timedelta(hours=1)
_SHOWN = 200


@dataclass(frozen=True)
class Rejection:
    """An event that was not stored: its position in the request, and what is wrong with it.

    ``field`` is the first field that is wrong, None where the event as a whole is; ``message``
    names them all.
    """

    index: int
    event_id: str | None
    field: str | None
    message: str


@dataclass(frozen=True)
class Receipt:
    """What became of the events: ``new`` holds those that were stored now, and not before."""

    stored: int
    repeated: int
    rejected: tuple[Rejection, ...]
    new: tuple[EventRecord, ...] = ()


def accept_events(
    store: Store,
    sent: Sequence[Any],
    *,
    now: datetime,
    bounds: Bounds,
    source: str,
    ids: ContentIds | None = None,
) -> Receipt:
    """Store what can be stored of ``sent``; an event whose id is stored already is left alone.

    Args:
        sent: events, as ``SentEvent``, as values out of JSON, or ``Unreadable``.
        source: the source of those that name none.
        ids: makes ids where none is given; the default makes them of the request's content.

    Raises:
        UserdbUnavailable, sqlalchemy.exc.DBAPIError: userdb failed. Some events may be stored:
            send all of them again.
    """
    ids = ids or ContentIds()
    floor: datetime | None = None
    is_floor_known = False
    rejected: list[Rejection] = []
    kept: list[tuple[int, EventRecord]] = []
    for index, one in enumerate(sent):
        judged = _judge(index, one, now=now, bounds=bounds, source=source, ids=ids)
        if isinstance(judged, EventRecord) and judged.occurred_at < now - _SURELY_KEPT:
            if not is_floor_known:
                floor, is_floor_known = _floor(store), True
            if floor is not None and judged.occurred_at < floor:
                judged = _out_of_bounds(
                    index, judged.event_id, judged.occurred_at, before_floor(floor)
                )
        if isinstance(judged, Rejection):
            rejected.append(judged)
        else:
            kept.append((index, judged))
    stored = repeated = 0
    new: list[EventRecord] = []
    for at in range(0, len(kept), MAX_EVENTS):
        batch = kept[at : at + MAX_EVENTS]
        done = store_each(store.write, [event for _, event in batch])
        stored += done.stored
        repeated += done.repeated
        new += [event for _, event in batch if event.event_id in done.new]
        for place, why in done.refused.items():
            index, event = batch[place]
            rejected.append(Rejection(index, event.event_id, None, why))
    if rejected:
        log.warning(
            "%d of %d events of %s were rejected; the first: %s",
            len(rejected),
            len(sent),
            source,
            rejected[0].message,
        )
    rejected.sort(key=lambda one: one.index)
    return Receipt(stored, repeated, tuple(rejected), tuple(new))


def _floor(store: Store) -> datetime | None:
    with store.read() as connection:
        minute = read_floors(connection).get(_FAMILY)
    return None if minute is None else from_minute(minute)


def _judge(
    index: int, sent: Any, *, now: datetime, bounds: Bounds, source: str, ids: ContentIds
) -> EventRecord | Rejection:
    """The event to store, or why it isn't stored."""
    if isinstance(sent, Unreadable):
        return Rejection(index, None, None, sent.why)
    if not isinstance(sent, SentEvent):
        if not isinstance(sent, Mapping):
            return Rejection(index, None, None, "is not a JSON object")
        try:
            sent = SentEvent.model_validate(sent)
        except ValidationError as error:
            return _invalid(index, sent, error)
    if sent.occurred_at is not None and (why := bounds.refusal(sent.occurred_at, now)):
        return _out_of_bounds(index, sent.event_id, sent.occurred_at, why)
    event_id = sent.event_id
    if event_id is None:
        # without a time, two events that are alike may well be two
        timed = sent.occurred_at is not None
        event_id = ids.of(canonical(dict(sent))) if timed else uuid.uuid4().hex
    created_at = now if sent.created_at is None else min(sent.created_at, now)
    return repair_event(
        {
            **dict(sent),
            "event_id": event_id,
            "source": sent.source or source,
            "occurred_at": sent.occurred_at or now,
            "created_at": created_at if bounds.refusal(created_at, now) is None else now,
        }
    )


def _out_of_bounds(index: int, event_id: str | None, at: datetime, why: str) -> Rejection:
    return Rejection(index, _shown(event_id), "occurred_at", f"occurred_at: {at.isoformat()} {why}")


def _invalid(index: int, sent: Mapping[str, Any], error: ValidationError) -> Rejection:
    issues = [
        (_shown(".".join(str(part) for part in issue["loc"])), issue["msg"])
        for issue in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    text = "; ".join(f"{name}: {message}" if name else message for name, message in issues)
    return Rejection(index, _shown(sent.get("event_id")), issues[0][0] or None, _shown(text) or "")


def _shown(value: Any) -> str | None:
    """Text that can be sent back: whatever was sent, it is UTF-8 and short."""
    if not isinstance(value, str):
        return None
    return value.encode("utf-8", "backslashreplace").decode()[: 5 * _SHOWN]
