"""What a collector is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from monitoring.window import Window

from userdb.ledger import CollectionReport, Part
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

    @property
    def sources(self) -> Sequence[str]:
        """The names of the sources that can be collected apart; none where it is all or nothing."""
        ...

    def collect(
        self,
        window: Window,
        store: Store,
        *,
        now: datetime,
        run_id: str | None = None,
        part: Part | None = None,
    ) -> CollectionReport:
        """Collect ``window``, write data and ledger, and report a row for each source.

        Collecting a window twice, or windows that overlap, leaves the same rows as once. A source
        that fails doesn't keep the others from being stored: it is a failed row of the report.

        Args:
            part: collect these sources only; other processes collect the others.
        """
        ...
