"""How long to leave a server alone."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: Seconds: after the first failure, at most after many, and at most because a server asks for it.
FIRST_S = 0.5
LONGEST_S = 60.0
LONGEST_ASKED_S = 3600.0


class Backoff:
    """Exponential waits with jitter, so that many processes don't come back all at once.

    A wait is drawn from the upper half of ``FIRST_S × 2ⁿ``, at most ``LONGEST_S``; a server that
    asks for more time is given it.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0
        #: Whether the present wait is one that the server asked for.
        self.asked = False

    def failed(self, retry_after_s: float | None = None) -> None:
        wait = min(LONGEST_S, FIRST_S * 2 ** min(self._failures, 16))
        wait *= random.uniform(0.5, 1.0)
        self.asked = retry_after_s is not None
        if retry_after_s is not None:
            # with jitter upwards: all who were refused were told the same time
            wait = min(LONGEST_ASKED_S, max(wait, retry_after_s * random.uniform(1.0, 1.1)))
        self._failures += 1
        self._until = time.monotonic() + wait

    def succeeded(self) -> None:
        self._failures, self._until, self.asked = 0, 0.0, False

    def remaining_s(self) -> float:
        """Seconds to wait from now; 0 when it is time."""
        return max(0.0, self._until - time.monotonic())


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or an HTTP date; None if neither."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
