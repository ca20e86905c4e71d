"""What an engine's ``/events`` says, as ``ContainerEvent``: pure functions.

Docker and Podman differ: Podman calls an end ``died`` in places, tells the health beside the
action and not in it, and tells it at each check, changed or not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from include.collectors.container_stats.runtime import ContainerEvent, EventAction, Period
from include.collectors.container_stats.values import exit_code

_NUMBER = re.compile(r"-?[0-9]{1,10}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What is kept, by the engines' words.
_KEPT: Mapping[str, EventAction] = {
    "die": "die",
    "died": "die",
    "oom": "oom",
    "health_status": "health_status",
    "restart": "restart",
}
#: Somebody asked for the end that follows; a start ends that.
_ASKING = frozenset({"kill", "stop", "restart", "remove"})
#: Attributes that are no labels of the container.
_OWN = frozenset({"image", "name", "exitCode", "containerExitCode", "podId", "signal", "execID"})


@dataclass(frozen=True)
class EngineEvents:
    """``events`` are of the period, oldest first; ``read`` lines came, ``bad`` made no sense.

    ``oldest`` is the time of the first of all events that the engine told of.
    """

    events: tuple[ContainerEvent, ...]
    read: int
    bad: int
    oldest: datetime | None


def event_params(period: Period, *, podman: bool) -> dict[str, str]:
    """The query of ``GET /events`` for a period.

    Docker needs ``until``, else it goes on for ever. Podman 4 stops before it has told anything
    where ``until`` is past; it is asked for all since then, without waiting for more.
    """
    if podman:
        # whole seconds; the rest is left out when parsed
        return {"since": str(int(period.since.timestamp())), "stream": "false"}
    return {"since": _nanoseconds(period.since), "until": _nanoseconds(period.until)}


def _nanoseconds(at: datetime) -> str:
    whole = (at - _EPOCH) // timedelta(microseconds=1)
    return f"{whole // 10**6}.{whole % 10**6:06d}000"


def parse_events(lines: Iterable[bytes], period: Period) -> EngineEvents:
    """The events of ``period`` that are kept, out of an engine's lines of JSON."""
    kept: list[ContainerEvent] = []
    asked: dict[str, bool] = {}
    health: dict[str, str] = {}
    read = bad = 0
    oldest: datetime | None = None
    for entry in _sorted(lines):
        read += 1
        if entry is None:
            bad += 1
            continue
        time_ns, at, event = entry
        oldest = at if oldest is None else min(oldest, at)
        if event.get("Type", "container") != "container":
            continue
        actor: Mapping[str, Any] = event.get("Actor") or {}
        attributes = {str(k): str(v) for k, v in (actor.get("Attributes") or {}).items()}
        mark = str(actor.get("ID") or event.get("id") or "")
        # "health_status: unhealthy", "exec_start: /bin/sh -c …"
        word, _, rest = str(event.get("Action") or event.get("status") or "").partition(": ")
        if word in _ASKING:
            asked[mark] = True
        elif word == "start":
            asked[mark] = False
        action = _KEPT.get(word)
        if action is None or not mark or not period.since < at <= period.until:
            continue
        status = None
        if action == "health_status":
            status = (rest or str(event.get("HealthStatus") or "")).lower() or None
            if status is None or health.get(mark) == status:
                continue
            health[mark] = status
        kept.append(
            ContainerEvent(
                container_id=mark,
                container=attributes.get("name", ""),
                image=attributes.get("image") or str(event.get("from") or ""),
                labels={key: text for key, text in attributes.items() if key not in _OWN},
                action=action,
                time_ns=time_ns,
                occurred_at=at,
                exit_code=_exit_code(attributes) if action == "die" else None,
                health=status,
                asked=action == "die" and asked.get(mark, False),
            )
        )
    return EngineEvents(tuple(kept), read, bad, oldest)


def _sorted(lines: Iterable[bytes]) -> list[tuple[int, datetime, Mapping[str, Any]] | None]:
    """Lines as time and event, in the order of time; None for what is no event."""
    found: list[tuple[int, datetime, Mapping[str, Any]] | None] = []
    for line in lines:
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            time_ns = int(event.get("timeNano") or int(event["time"]) * 10**9)
            at = _EPOCH + timedelta(microseconds=time_ns // 1000)
            if not isinstance(event.get("Actor") or {}, dict):
                raise TypeError
            if not isinstance((event.get("Actor") or {}).get("Attributes") or {}, dict):
                raise TypeError
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError):
            found.append(None)
            continue
        found.append((time_ns, at, event))
    return sorted(found, key=lambda entry: -1 if entry is None else entry[0])


def _exit_code(attributes: Mapping[str, str]) -> int | None:
    text = attributes.get("exitCode") or attributes.get("containerExitCode") or ""
    return exit_code(int(text)) if _NUMBER.fullmatch(text) else None
