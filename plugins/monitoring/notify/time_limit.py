"""A limit of time for code that has none of its own: libraries that send messages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from monitoring.log_context import in_this_context
from userdb.errors import DeliveryError

Result = TypeVar("Result")


class TimeLimit:
    """Runs one call at a time, each in a thread that is left to itself when the time is over.

    What was left may still go on, and even succeed: then the message is sent twice. No other call
    begins while it does. It doesn't keep the process from ending.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._last: threading.Thread | None = None

    def run(self, work: Callable[[], Result]) -> Result:
        """What ``work`` returns or raises.

        Raises:
            DeliveryError: it takes longer than the limit, or the one before still goes on.
        """
        if self._last is not None and self._last.is_alive():
            raise DeliveryError("the try before has not ended yet")
        results: list[Result] = []
        errors: list[BaseException] = []

        def call() -> None:
            try:
                results.append(work())
            except BaseException as error:
                errors.append(error)

        self._last = threading.Thread(target=in_this_context(call), name="notify-send", daemon=True)
        self._last.start()
        self._last.join(self._timeout_s)
        if self._last.is_alive():
            raise DeliveryError(f"no answer within {self._timeout_s:g} s")
        if errors:
            raise errors[0]
        return results[0]
