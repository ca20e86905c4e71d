"""Making an event of whatever a caller gives, so that no mistake loses it.

Pure: the clock's time is an argument. What doesn't fit is replaced by what can be kept of it, and
a note says so.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from include.reporting.exceptions import describe_exception
from userdb.events import EventRecord
from userdb.models.events import EVENT_TYPES, LEVELS

#: Key of ``detail`` that holds the notes.
NOTES = "reporting_notes"
#: Longest message in characters, and longest detail in characters of JSON.
MAX_MESSAGE = 65_536
MAX_DETAIL = 262_144
_MAX_DEPTH = 20
_MAX_LABEL = 255
_MAX_INT = 2**63
_LEVEL_NAMES = {"warn": "warning", "fatal": "critical", "err": "error", "debug": "info"}
_LABELS = ("service", "instance", "container", "exception_type")


def build_event(
    *,
    now: datetime,
    event_type: str,
    source: str,
    message: Any,
    detail: Any = None,
    level: Any = "error",
    service: Any = None,
    instance: Any = None,
    container: Any = None,
    occurred_at: Any = None,
    event_id: Any = None,
    exception: BaseException | None = None,
    exception_type: Any = None,
    fingerprint: Any = None,
) -> tuple[EventRecord, list[str]]:
    """The event, and notes on what had to be changed to keep it.

    ``exception`` gives exception type and fingerprint where they aren't given, and ``exception``
    in the detail.
    """
    notes: list[str] = []
    kept = _detail(detail, notes)
    if exception is not None:
        described = describe_exception(exception)
        exception_type = exception_type or described.type
        fingerprint = fingerprint or described.fingerprint
        kept = {"exception": described.as_detail(), **(kept or {})}
    event = repair_event(
        {
            "event_id": uuid.uuid4().hex if event_id is None else event_id,
            "event_type": event_type,
            "source": source,
            "level": level,
            "message": message,
            "detail": kept,
            "occurred_at": _time(occurred_at, now, notes),
            "created_at": now,
            "service": service,
            "instance": instance,
            "container": container,
            "exception_type": exception_type,
            "fingerprint": fingerprint,
        },
        notes,
    )
    return event, notes


def repair_event(fields: Mapping[str, Any], notes: list[str] | None = None) -> EventRecord:
    """An event that fits userdb's columns, from fields of the right names and any values.

    The times must be aware datetimes in UTC. Notes are added to ``notes`` and to the detail.
    """
    notes = [] if notes is None else notes
    labels = {name: _label(fields.get(name), name, notes) for name in _LABELS}
    message = _text(fields["message"])
    if len(message) > MAX_MESSAGE:
        notes.append(f"the message had {len(message)} characters")
        message = message[:MAX_MESSAGE]
    fingerprint = _text(fields["fingerprint"]) if fields.get("fingerprint") else None
    if fingerprint and len(fingerprint) > 32:
        fingerprint = hashlib.sha256(fingerprint.encode()).hexdigest()[:32]
    return EventRecord(
        event_id=_event_id(fields["event_id"], notes),
        event_type=_choice(fields["event_type"], "event_type", EVENT_TYPES, "custom", notes),
        source=_label(fields.get("source"), "source", notes) or "unknown",
        level=_choice(fields.get("level", "error"), "level", LEVELS, "error", notes),
        message=message,
        occurred_at=fields["occurred_at"],
        created_at=fields["created_at"],
        fingerprint=fingerprint,
        # last, because it holds the notes
        detail=_with_notes(_detail(fields.get("detail"), notes), notes),
        **labels,
    )


def _with_notes(detail: dict[str, Any] | None, notes: list[str]) -> dict[str, Any] | None:
    return {**(detail or {}), NOTES: notes.copy()} if notes else detail


def _text(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception as error:
        text = f"<{type(value).__name__}, whose text can't be had: {type(error).__name__}>"
    # lone surrogates, as os.fsdecode makes them, are no UTF-8
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _label(value: Any, name: str, notes: list[str]) -> str | None:
    # MySQL compares 'a' and 'a ' as equal: labels have no space around them
    text = "" if value is None else _text(value).strip()
    if len(text) > _MAX_LABEL:
        notes.append(f"{name} had {len(text)} characters")
        text = text[:_MAX_LABEL].rstrip()
    return text or None


def _choice(
    value: Any, name: str, choices: tuple[str, ...], otherwise: str, notes: list[str]
) -> str:
    text = _text(value).strip().lower()
    text = _LEVEL_NAMES.get(text, text)
    if text in choices:
        return text
    notes.append(f"{name} was {_text(value)[:100]!r}, which is none of {', '.join(choices)}")
    return otherwise


def _event_id(value: Any, notes: list[str]) -> str:
    text = _text(value).strip()
    if not text:
        notes.append("event_id was empty")
        return uuid.uuid4().hex
    if len(text) > 64:
        # still the same for the same event, so that a repetition is found
        notes.append(f"event_id was {text[:200]!r}: its SHA-256 stands for it")
        return hashlib.sha256(text.encode()).hexdigest()
    return text


def _time(value: Any, now: datetime, notes: list[str]) -> datetime:
    if value is None:
        return now
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(at, datetime) and at.utcoffset() is not None:
            return at.astimezone(UTC)
        why = "has no time zone" if isinstance(at, datetime) else "is not a datetime"
    except Exception as error:
        why = f"is not a time ({type(error).__name__})"
    notes.append(f"occurred_at was {_text(value)[:100]!r}, which {why}: the time of the report is")
    notes[-1] += " kept instead"
    return now


def _detail(value: Any, notes: list[str]) -> dict[str, Any] | None:
    if value is None:
        return None
    found: list[str] = []
    kept = _json(value, 0, found)
    if not isinstance(kept, dict):
        found.append("detail was not a mapping")
        kept = {"value": kept}
    if found:
        notes.append(found[0] if len(found) == 1 else f"{found[0]}, and {len(found) - 1} more")
    text = json.dumps(kept, ensure_ascii=False)
    if len(text) > MAX_DETAIL:
        notes.append(f"detail had {len(text)} characters of JSON")
        kept = {"truncated": text[: MAX_DETAIL // 2]}
    return kept


def _json(value: Any, depth: int, notes: list[str]) -> Any:  # noqa: PLR0911  # a case a type
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        if -_MAX_INT <= value < _MAX_INT:
            return int(value)
        return (
            _text(value) if value.bit_length() < 10_000 else f"<int of {value.bit_length()} bits>"
        )
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if depth < _MAX_DEPTH:
        try:
            if isinstance(value, Mapping):
                return {_text(k): _json(v, depth + 1, notes) for k, v in value.items()}
            if isinstance(value, list | tuple | set | frozenset):
                return [_json(item, depth + 1, notes) for item in value]
        except Exception as error:
            notes.append(f"detail held a {type(value).__name__} that raised {type(error).__name__}")
            return f"<{type(value).__name__}>"
    notes.append(f"detail held a {type(value).__name__}, which JSON can't hold")
    try:
        return _text(repr(value))[:1000]
    except Exception:
        return f"<{type(value).__name__}>"
