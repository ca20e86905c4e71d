"""What a request holds and no event may: sent with each request of these tests."""

from __future__ import annotations

import json
from typing import Any

SECRET = "hunter2"
QUERY = f"token={SECRET}"
BODY = f"password={SECRET}".encode()
HEADERS = {"Authorization": f"Basic {SECRET}", "Cookie": f"session={SECRET}", "X-Key": SECRET}


def assert_no_secret(events: list[dict[str, Any]]) -> None:
    assert SECRET not in json.dumps(events)


def facts(event: dict[str, Any]) -> tuple[Any, ...]:
    """Kind, level, status, method, path, route, user."""
    request = event["detail"]["request"]
    assert request["duration_ms"] >= 0
    return (
        event["detail"]["kind"],
        event["level"],
        *(request.get(name) for name in ("status", "method", "path", "route", "user")),
    )
