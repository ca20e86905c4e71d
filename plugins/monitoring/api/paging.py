"""Pages: where the next one begins."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Query

from userdb.errors import InvalidRequestError

Cursor = Annotated[
    str | None, Query(max_length=1000, description="`next` of the page before; absent: the first")
]


def cursor_after(key: str) -> str:
    """A cursor for what comes after ``key``; opaque to callers."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """The key that ``cursor`` was made of.

    Raises:
        InvalidRequestError: it is none of ours.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        message = "no cursor of ours; take `next` of the page before"
        raise InvalidRequestError(
            f"cursor: {message}", errors=[{"field": "cursor", "message": message}]
        ) from None
