"""How many requests a key may make. Counted in each server process by itself."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime

from fastapi import HTTPException
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from monitoring.keys import ApiKey, require_rate_limit

#: Environment variable and value of the limit of keys that have none of their own.
SETTING, DEFAULT = "MONITORING_RATE_LIMIT", "6000/minute"


class RateLimiter:
    """A moving window for each key; ``default`` is like ``6000/minute``."""

    def __init__(self, default: str | None = None) -> None:
        self._default = default or os.environ.get(SETTING) or DEFAULT
        require_rate_limit(self._default)
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    def take(self, key: ApiKey) -> None:
        """Count a request.

        Raises:
            HTTPException: 429, with Retry-After, where the key has used its share.
        """
        limit = parse(key.rate_limit or self._default)
        if self._windows.hit(limit, key.id):
            return
        reset = self._windows.get_window_stats(limit, key.id).reset_time
        wait = max(1, math.ceil(reset - datetime.now(UTC).timestamp()))
        raise HTTPException(
            429,
            f"the API key {key.name} may make requests at {limit}; try again in {wait} s",
            {"Retry-After": str(wait)},
        )
