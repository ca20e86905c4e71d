"""What a collector is."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from monitoring.window import Window

from userdb.ledger import CollectionReport
from userdb.store import Store


class Collector(Protocol):
    """Reads one kind of source into userdb.

    ``name`` is the collector's name in sources.yaml and in the ledger. ``family`` is that of its
    series and of the policies that it marks dirty: event, request or container.
    """

    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str: ...

    def collect(
        self, window: Window, store: Store, *, now: datetime, run_id: str | None = None
    ) -> CollectionReport:
        """Collect ``window``, write data and ledger, and report a row for each source.

        Collecting a window twice, or windows that overlap, leaves the same rows as once. A source
        that fails doesn't keep the others from being stored: it is a failed row of the report.
        """
        ...
