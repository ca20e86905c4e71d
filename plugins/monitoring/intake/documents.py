"""A body of JSON into the events that it holds: one object, an array, or lines."""

from __future__ import annotations

import json
from typing import Any

from monitoring.intake.sent import Unreadable
from userdb.errors import InvalidRequestError

#: Media types of JSON lines.
LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/x-jsonlines"})


def read_document(body: bytes, media_type: str = "") -> list[Any]:
    """The values in ``body``, with ``Unreadable`` in the place of each line that is no JSON.

    Lines are also read where the media type doesn't say so and the whole is not one value.

    Raises:
        InvalidRequestError: there is nothing in it that can be read.
    """
    if not body.strip():
        raise InvalidRequestError("the body is empty: send an event as JSON, an array, or lines")
    if media_type not in LINES:
        try:
            value = _json(body)
        except ValueError as error:
            if len(body.split(b"\n", 2)) < 2:
                raise InvalidRequestError(f"the body {error}") from None
        else:
            return value if isinstance(value, list) else [value]
    values = [_line(line) for line in body.splitlines() if line.strip()]
    if all(isinstance(value, Unreadable) for value in values):
        raise InvalidRequestError(f"no line of the body is JSON; the first {values[0].why}")
    return values


def _line(line: bytes) -> Any:
    try:
        return _json(line)
    except ValueError as error:
        return Unreadable(str(error))


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
