"""Sentry's envelopes into events. Items that are no events are left out.

An envelope is a line of JSON, then for each item a line of JSON and its payload, which is as long
as ``length`` says, else as long as its line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from include.reporting.exceptions import MAX_STACK, fingerprint
from monitoring.intake.sent import SentEvent, Unreadable, known_level
from userdb.errors import InvalidRequestError
from userdb.models.events import LEVELS

#: Source of events whose logger has no name.
SOURCE = "sentry"
_MAX_FRAMES = 250


@dataclass(frozen=True)
class Envelope:
    """``event_id`` is the header's, or the first event's; ``events`` are its events."""

    event_id: str | None
    events: tuple[SentEvent | Unreadable, ...]


def read_envelope(body: bytes) -> Envelope:
    """The events in an envelope; one that can't be made sense of is ``Unreadable``.

    Raises:
        InvalidRequestError: it is no envelope.
    """
    first, _, rest = body.partition(b"\n")
    header = _object(first, "the envelope's header")
    event_id = _text(header.get("event_id"))
    events: list[SentEvent | Unreadable] = []
    for item, payload in _items(rest):
        if item.get("type") != "event":
            continue
        try:
            events.append(_event(_object(payload, "an event"), event_id))
        except InvalidRequestError as error:
            events.append(Unreadable(str(error)))
        except ValidationError as error:
            issue = error.errors(include_url=False, include_context=False, include_input=False)[0]
            field = ".".join(str(part) for part in issue["loc"])
            events.append(Unreadable(f"{field}: {issue['msg']}"))
    if event_id is None:
        event_id = next((one.event_id for one in events if isinstance(one, SentEvent)), None)
    return Envelope(event_id, tuple(events))


def _items(rest: bytes) -> Iterator[tuple[Mapping[str, Any], bytes]]:
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        if not line.strip():
            continue
        header = _object(line, "an item's header")
        length = header.get("length")
        if length is None:
            payload, _, rest = rest.partition(b"\n")
        elif isinstance(length, int) and not isinstance(length, bool) and 0 <= length <= len(rest):
            payload, rest = rest[:length], rest[length:]
        else:
            raise InvalidRequestError(f"an item's length is {str(length)[:50]!r}, which it isn't")
        yield header, payload


def _object(text: bytes, what: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{what} is no JSON object")
    return value


def _event(payload: Mapping[str, Any], envelope_id: str | None) -> SentEvent:
    exceptions = _exceptions(payload)
    last = exceptions[-1] if exceptions else {}
    tags = _tags(payload)
    level = known_level(payload.get("level"))
    return SentEvent(
        event_id=_text(payload.get("event_id")) or envelope_id,
        source=_text(payload.get("logger")) or SOURCE,
        level=level if level in LEVELS else "error",
        message=_message(payload, last),
        detail=_detail(payload, exceptions, tags),
        occurred_at=_time(payload.get("timestamp")),
        service=tags.get("service"),
        instance=tags.get("instance") or _text(payload.get("server_name")),
        container=tags.get("container"),
        exception_type=_type(last) if last else None,
        fingerprint=_fingerprint(payload, exceptions),
    )


def _exceptions(payload: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The exceptions, the one that was raised last at the end."""
    given = payload.get("exception")
    values = given.get("values") if isinstance(given, dict) else given
    if not isinstance(values, list):
        return []
    return [one for one in values if isinstance(one, dict)]


def _tags(payload: Mapping[str, Any]) -> dict[str, str]:
    given = payload.get("tags")
    pairs: Sequence[Any] = ()
    if isinstance(given, dict):
        pairs = list(given.items())
    elif isinstance(given, list):
        pairs = [one for one in given if isinstance(one, list) and len(one) == 2]
    return {str(name): text for name, value in pairs if (text := _text(value))}


def _message(payload: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    entry = payload.get("logentry")
    entry = entry if isinstance(entry, dict) else {"message": entry or payload.get("message")}
    said = _text(entry.get("formatted")) or _text(entry.get("message"))
    if said:
        return said
    if last:
        return ": ".join(part for part in (_type(last), _text(last.get("value"))) if part)
    return _text(payload.get("transaction")) or ""


def _type(exception: Mapping[str, Any]) -> str | None:
    name = _text(exception.get("type"))
    module = _text(exception.get("module"))
    return name if name is None or module in (None, "builtins") else f"{module}.{name}"


def _frames(exception: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The stack's frames, outermost first."""
    stack = exception.get("stacktrace")
    frames = stack.get("frames") if isinstance(stack, dict) else None
    if not isinstance(frames, list):
        return []
    return [frame for frame in frames if isinstance(frame, dict)][-_MAX_FRAMES:]


def _place(frame: Mapping[str, Any]) -> str:
    where = _text(frame.get("module")) or _text(frame.get("filename")) or "?"
    return f"{where}:{_text(frame.get('function')) or '?'}"


def _stack(exception: Mapping[str, Any]) -> str:
    lines = []
    for frame in _frames(exception):
        file = _text(frame.get("abs_path")) or _text(frame.get("filename")) or "?"
        lines.append(f'  File "{file}", line {frame.get("lineno")}, in {frame.get("function")}')
        if code := _text(frame.get("context_line")):
            lines.append(f"    {code.strip()}")
    return "\n".join(lines)[-MAX_STACK:]


def _fingerprint(payload: Mapping[str, Any], exceptions: Sequence[Mapping[str, Any]]) -> str | None:
    """The fingerprint that is given, else type and functions of each exception.

    Of a stack with frames of the application only those count.
    """
    given = payload.get("fingerprint")
    parts = [_text(one) or "" for one in given] if isinstance(given, list) else []
    default: list[str] = []
    for exception in exceptions:
        frames = _frames(exception)
        own = [frame for frame in frames if frame.get("in_app") is True] or frames
        default += [_type(exception) or "", *(_place(frame) for frame in own)]
    if not exceptions:
        entry = payload.get("logentry")
        template = entry.get("message") if isinstance(entry, dict) else entry
        text = _text(template) or _text(payload.get("message"))
        default = [] if text is None else [_text(payload.get("logger")) or "", text]
    if not parts:
        return fingerprint(default) if default else None
    joined = [
        inner
        for part in parts
        # Sentry's word for what it would be without one
        for inner in (default if part.replace(" ", "") == "{{default}}" else [part])
    ]
    return fingerprint(joined)


def _detail(
    payload: Mapping[str, Any], exceptions: Sequence[Mapping[str, Any]], tags: Mapping[str, str]
) -> dict[str, Any]:
    # not kept: user, headers, cookies, breadcrumbs, local variables: large, or maybe secret
    described = [
        {"type": _type(one), "message": _text(one.get("value")), "stack": _stack(one)}
        for one in exceptions
    ]
    request = payload.get("request")
    request = request if isinstance(request, dict) else {}
    kept = {name: payload.get(name) for name in ("platform", "release", "environment")}
    kept |= {name: payload.get(name) for name in ("transaction", "extra")}
    kept["tags"] = dict(tags)
    kept["request"] = {name: request[name] for name in ("method", "url") if name in request}
    if described:
        kept["exception"] = described[-1]
        kept["caused_by"] = described[-2::-1]
    return {name: value for name, value in kept.items() if value}


def _time(value: Any) -> datetime | None:
    """RFC 3339, which may lack its zone, or seconds since 1970.

    Raises:
        InvalidRequestError: neither.
    """
    if value is None:
        return None
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        return datetime.fromtimestamp(value, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise InvalidRequestError(f"timestamp: {str(value)[:100]!r} is no time") from None


def _text(value: Any) -> str | None:
    """Text out of JSON as it can be stored; None for what is empty or no scalar."""
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return None
    try:
        text = value if isinstance(value, str) else str(value)
    except ValueError:  # an int of very many digits
        return None
    return text.encode("utf-8", "backslashreplace").decode() or None
