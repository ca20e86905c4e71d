"""ETag and If-Match: nobody overwrites what he hasn't seen (RFC 9110, section 13.1.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Header

IfMatch = Annotated[
    str | None,
    Header(
        alias="if-match",
        max_length=1000,
        description="the ETag that the change is meant for; 412 where the route has another",
        examples=['"3"'],
    ),
]


def etag(version: int) -> str:
    return f'"{version}"'


def expected(if_match: str | None) -> Callable[[int], bool] | None:
    """Whether a version is meant; None where the caller doesn't say.

    Weak tags are never the same, and what is no tag is nobody's.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = {tag.strip() for tag in if_match.split(",")}
    return lambda version: etag(version) in tags
