"""Pages: a cursor says where the next one begins, and the header Link (RFC 8288) has its address.

The address is relative, so that it holds behind a proxy too: it has the request's own query, with
another cursor.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from pydantic import TypeAdapter, ValidationError

from userdb.errors import InvalidRequestError

T = TypeVar("T")

Cursor = Annotated[
    str | None,
    Query(
        max_length=1000,
        description="where the page begins; out of the previous page's header Link, rel=next",
    ),
]
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


def read_cursor(text: str | None, place: type[T]) -> T | None:
    """The place that a cursor stands for; None where there is none.

    Raises:
        InvalidRequestError: no cursor of this kind of page.
    """
    if text is None:
        return None
    try:
        data = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
        return TypeAdapter(place).validate_json(data)
    except (binascii.Error, ValueError, ValidationError):
        raise InvalidRequestError.of(
            "cursor", "the cursor is none that this page gave; begin without one"
        ) from None


def link_next(request: Request, response: Response, rest: object | None) -> None:
    """Say in ``response`` where the page after this one is; nothing where ``rest`` is None."""
    if rest is None:
        return
    data = TypeAdapter(type(rest)).dump_python(rest, mode="json")
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    cursor = base64.urlsafe_b64encode(text.encode()).decode()
    query = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
    response.headers["Link"] = f'<?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
