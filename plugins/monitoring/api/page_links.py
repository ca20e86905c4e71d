"""Lists in pages: the header Link (RFC 8288) has the address of the next one.

The address is relative, so that it holds behind a proxy too: it has the request's own query, with
another cursor.
"""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi import Request, Response
from pydantic import TypeAdapter, ValidationError

from monitoring.api.paging import cursor_after, read_cursor
from userdb.errors import InvalidRequestError

T = TypeVar("T")

#: What a route says of its answer.
PAGED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Link": {
                "description": "`<?…&cursor=…>; rel=next`, relative to the request: the next "
                "page. Absent on the last one.",
                "schema": {"type": "string"},
            }
        }
    }
}


def read_place(cursor: str | None, place: type[T]) -> T | None:
    """The place that a cursor stands for; None where there is none.

    Raises:
        InvalidRequestError: no cursor of this kind of page.
    """
    if cursor is None:
        return None
    try:
        return TypeAdapter(place).validate_json(read_cursor(cursor))
    except ValidationError:
        raise InvalidRequestError.of(
            "cursor", "the cursor is none of this list; begin without one"
        ) from None


def link_next(request: Request, response: Response, rest: object | None) -> None:
    """Say in ``response`` where the page after this one is; nothing where ``rest`` is None."""
    if rest is None:
        return
    cursor = cursor_after(TypeAdapter(type(rest)).dump_json(rest).decode())
    query = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
    response.headers["Link"] = f'<?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
