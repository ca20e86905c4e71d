"""The collector pull: what other nodes hold, over their HTTP API."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from monitoring.window import Window

from include.collectors.gateway_exceptions.rollup import RolledUp, roll_up
from include.collectors.nodes.wire import FAMILIES
from include.collectors.pull.client import NodeClient
from include.collectors.pull.coverage import record_kind
from include.collectors.pull.reading import KindRead, NodeReading
from include.collectors.pull.settings import PullNode, PullSettings
from include.collectors.registry import register
from include.collectors.time_limit import call_all
from userdb.ledger import CollectionReport, Part, SourceReport
from userdb.store import Store


@register("pull")
class Pull:
    """Reads on, at every node at the same time, from where it was left.

    What comes is filed under its own time, whatever the window. Of the window, and of what lies
    ``lookback`` before it, those minutes are covered that every node says it covers: a node that
    collects as often as we do tells of a window at our next collection.

    In the ledger, each kind is a collector of its own (``pull.event`` …) whose sources are nodes.
    """

    name = "pull"
    #: It writes series of all families, and minds each one's floor itself.
    family = ""

    def __init__(self, settings: PullSettings) -> None:
        self._settings = settings

    @property
    def sources(self) -> Sequence[str]:
        return [node.name for node in self._settings.nodes]

    def collect(
        self,
        window: Window,
        store: Store,
        *,
        now: datetime,
        run_id: str | None = None,
        part: Part | None = None,
    ) -> CollectionReport:
        """See ``include.collectors.protocol.Collector``. Without nodes it has no sources."""
        began = time.perf_counter()
        reach = window.extended(self._settings.lookback)
        nodes = [one for one in self._settings.nodes if part is None or one.name in part.own]
        readings = self._read(nodes, reach.start, store, now)
        if any("events" in reading.found for reading in readings):
            _count_events(store, window)
        sources: list[SourceReport] = []
        for kind in FAMILIES:
            found = {
                reading.node.name: reading.found[kind]
                for reading in readings
                if kind in reading.found
            }
            work = partial(
                record_kind,
                kind=kind,
                found=found,
                reach=reach,
                window=window,
                now=now,
                run_id=run_id,
                attempt=part.attempt if part else None,
                awaited=[
                    node.name
                    for node in self._settings.nodes
                    if part and node.name in part.others and kind in node.kinds
                ],
            )
            sources += store.write(work)
        return CollectionReport(
            collector=self.name,
            start=window.start,
            end=window.end,
            sources=tuple(sources),
            started_at=now,
            duration_s=time.perf_counter() - began,
        )

    def _read(
        self, nodes: Sequence[PullNode], begin: datetime, store: Store, now: datetime
    ) -> Sequence[NodeReading]:
        """These nodes, each within the time limit."""
        timeout_s = self._settings.timeout_s
        readings = [NodeReading(node, self._client(node, now), store, begin) for node in nodes]
        outcomes = call_all(
            [reading.run for reading in readings], workers=len(readings), timeout_s=timeout_s + 1
        )
        for reading, outcome in zip(readings, outcomes, strict=True):
            if not outcome.in_time:
                reading.abandon()
                for found in reading.found.values():
                    _give_up(found, reading.node, timeout_s)
        return readings

    def _client(self, node: PullNode, now: datetime) -> NodeClient:
        settings = self._settings
        return NodeClient(
            node, now=now, timeout_s=settings.timeout_s, max_skew=settings.max_clock_skew
        )


def _give_up(found: KindRead, node: PullNode, timeout_s: float) -> None:
    if not found.done and found.error is None:
        found.error = (
            f"the node {node.name} at {node.url} did not answer within {timeout_s:g} s; see that "
            "it works, or raise pull.timeout_s. What was read is kept"
        )


def _count_events(store: Store, window: Window) -> None:
    """Count what was pulled, as gateway_exceptions does: covered means counted."""

    def step() -> RolledUp:
        return store.write(lambda connection: roll_up(connection, window))

    while step().more:
        pass
