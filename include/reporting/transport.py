"""What carries events away from a reporter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from userdb.errors import MonitoringError
from userdb.events import EventRecord


class TransportError(MonitoringError):
    """A transport did not take events.

    ``permanent`` is true where these events will never be taken, and the transport itself works.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class Transport(Protocol):
    """Takes events, all or none; the same event sent twice is kept once, by its ``event_id``."""

    def send(self, events: Sequence[EventRecord]) -> None:
        """Return when the events are safe.

        Raises:
            TransportError: they are not known to be.
        """
        ...
