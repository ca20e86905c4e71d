"""What happened to containers as rows of ``monitor_event``, and counted for samples: pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from include.collectors.container_stats.labels import series_labels
from include.collectors.container_stats.runtime import Container, ContainerEvent, Period
from userdb.events import EventRecord

#: ``source`` of the rows.
SOURCE = "container_stats"
_MOST = 255


def event_id(event: ContainerEvent) -> str:
    """The same for an event whenever and by whichever way it is read."""
    key = f"{event.container_id}\n{event.time_ns}\n{event.action}\n{event.health or ''}"
    return "container-" + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:40]


def event_record(event: ContainerEvent, host: str, now: datetime) -> EventRecord:
    """The row of an event. Its ``exception_type`` is the action, which policies can look at."""
    labels = series_labels(name=event.container, image=event.image, labels=event.labels, host=host)
    level, message = _told(event)
    detail = {"container_id": event.container_id, "image": event.image, "host": host}
    if event.exit_code is not None:
        detail["exit_code"] = str(event.exit_code)
    if event.health is not None:
        detail["health"] = event.health
    return EventRecord(
        event_id=event_id(event),
        event_type="container",
        source=SOURCE,
        level=level,
        message=_clean(message),
        occurred_at=event.occurred_at,
        created_at=now,
        detail={name: _clean(text) for name, text in detail.items()},
        service=_clean(labels.get("service", ""))[:_MOST] or None,
        instance=_clean(host)[:_MOST],
        container=_clean(event.container)[:_MOST] or None,
        exception_type=event.action,
    )


def _told(event: ContainerEvent) -> tuple[str, str]:
    name = event.container or event.container_id[:12]
    if event.action == "oom":
        return "error", f"{name} ran out of memory, and the kernel ended a process of it"
    if event.action == "health_status":
        level = "error" if event.health == "unhealthy" else "info"
        return level, f"{name} is {event.health}"
    if event.action == "restart":
        return "warning", f"{name} was restarted"
    code = "" if event.exit_code is None else f" with exit code {event.exit_code}"
    if event.asked:
        return "info", f"{name} was stopped, and ended{code}"
    return ("info" if event.exit_code == 0 else "error"), f"{name} ended{code}"


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class Happened:
    """How often a container ended unasked, and was out of memory; None where not told."""

    exits: int | None = None
    oom_kills: int | None = None


def happened(
    container: Container, events: Sequence[ContainerEvent] | None, period: Period
) -> Happened:
    """What happened to ``container``: its own of ``events``, and what its state says.

    Its state tells of the last end only, and Podman has no event for memory that ran out.
    """
    ended = container.finished_at is not None and (
        period.since < container.finished_at <= period.until
    )
    at_least = int(bool(ended and container.oom_killed))
    if events is None:
        return Happened(None, at_least or None)
    own = [event for event in events if event.container_id == container.container_id]
    exits = sum(event.action == "die" and not event.asked for event in own)
    ooms = sum(event.action == "oom" for event in own)
    return Happened(exits, max(ooms, at_least))


def new_events(
    events: Iterable[ContainerEvent], stored: frozenset[str]
) -> tuple[ContainerEvent, ...]:
    """Those that were stored for the first time: periods overlap, and count nothing twice."""
    return tuple(event for event in events if event_id(event) in stored)
