"""Reading one node: page after page, each stored with the cursor after it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection

from include.collectors.nodes.containers import store_containers
from include.collectors.nodes.requests import replace_minutes
from include.collectors.nodes.tally import refused_time
from include.collectors.nodes.wire import (
    FAMILIES,
    Checked,
    ContainerMinute,
    ContainerRow,
    EventRow,
    Kind,
    Malformed,
    RequestMinute,
)
from include.collectors.pull.client import NodeClient, RawPage
from include.collectors.pull.cursor import Position, move, open_position
from include.collectors.pull.settings import PullNode
from include.reporting.event import repair_event
from userdb.errors import CollectionError, MonitoringError
from userdb.events import store_events
from userdb.ledger import MAX_SAMPLES, Rejected
from userdb.retention import read_floors
from userdb.store import Store
from userdb.times import from_minute, to_minute

_EVENTS: TypeAdapter[list[EventRow | Malformed]] = TypeAdapter(list[Checked[EventRow]])
_REQUESTS: TypeAdapter[list[RequestMinute | Malformed]] = TypeAdapter(list[Checked[RequestMinute]])
_CONTAINERS: TypeAdapter[list[ContainerMinute | Malformed]] = TypeAdapter(
    list[Checked[ContainerMinute]]
)


@dataclass
class KindRead:
    """What came of one kind of a node's data. ``error`` None and ``done``: all was read.

    ``covered``: spans (first, last) of minutes that the node says it covers.
    """

    rows: int = 0
    rejected: int = 0
    samples: list[Rejected] = field(default_factory=list)
    covered: list[tuple[int, int]] = field(default_factory=list)
    done: bool = False
    error: str | None = None

    def reject(self, where: str, why: str) -> None:
        self.rejected += 1
        if len(self.samples) < MAX_SAMPLES:
            self.samples.append(Rejected(where, why))


class NodeReading:
    """One collection of a node. ``found`` fills as it is read, a kind at a time."""

    def __init__(self, node: PullNode, client: NodeClient, store: Store, begin: datetime) -> None:
        self.node = node
        self.found: dict[Kind, KindRead] = {kind: KindRead() for kind in node.kinds}
        self._client = client
        self._store = store
        self._begin = begin
        self._abandoned = threading.Event()

    def abandon(self) -> None:
        """Nothing is stored any more, whatever the node may yet answer."""
        self._abandoned.set()

    def run(self) -> NodeReading:
        """Read all there is. What fails is an error of its kind; the others go on."""
        try:
            for kind, found in self.found.items():
                try:
                    self._read(kind, found)
                except MonitoringError as error:
                    found.error = str(error)
                except Exception as error:
                    found.error = f"the node {self.node.name}: {type(error).__name__}: {error}"
        finally:
            self._client.close()
        return self

    def _read(self, kind: Kind, found: KindRead) -> None:
        while True:
            position = self._store.write(
                lambda connection: open_position(
                    connection, self.node.name, kind, begin=self._begin, now=self._client.now
                )
            )
            page = self._client.page(
                kind, since=position.cursor, begin=position.begin, covered_from=self._begin
            )
            if page.more and page.cursor == position.cursor:
                raise CollectionError(
                    f"the node {self.node.name} at {self.node.url} says that there are more "
                    f"{kind} and doesn't move on"
                )
            if self._abandoned.is_set():
                return
            stored = self._store.write(partial(self._store_page, kind, position, page))
            if stored is None:
                continue  # another collection of this node was faster: on from where it is
            _add(found, stored)
            if not page.more:
                found.covered = [
                    (to_minute(span.start), to_minute(span.end) - 1) for span in page.covered
                ]
                found.done = True
                return

    def _store_page(
        self, kind: Kind, position: Position, page: RawPage, connection: Connection
    ) -> KindRead | None:
        """What was stored and refused of the page; None where the cursor was moved meanwhile."""
        now = self._client.now
        if not move(
            connection,
            self.node.name,
            kind,
            at=position.cursor,
            to=page.cursor,
            now=now,
        ):
            return None
        result = KindRead()
        floor = read_floors(connection).get(FAMILIES[kind])
        bounds = _Bounds(now, position.begin, None if floor is None else from_minute(floor))
        store = {"events": _events, "requests": _requests, "containers": _containers}[kind]
        store(connection, self.node.name, page.items, bounds, result)
        return result


@dataclass(frozen=True)
class _Bounds:
    now: datetime
    begin: datetime
    floor: datetime | None

    @property
    def max_age(self) -> timedelta:
        return self.now - self.begin

    def refuses(self, at: datetime) -> str | None:
        return refused_time(at, now=self.now, max_age=self.max_age, floor=self.floor)


def _events(
    connection: Connection, _node: str, items: Sequence[Any], bounds: _Bounds, found: KindRead
) -> None:
    kept = []
    for at, item in enumerate(_EVENTS.validate_python(items)):
        if isinstance(item, Malformed):
            found.reject(f"events[{at}].{item.field}", item.message)
        elif why := bounds.refuses(item.occurred_at):
            found.reject(f"event {item.event_id}", why)
        else:
            # what no database holds (a NaN within the detail) is repaired as for reporters
            kept.append(repair_event(item.model_dump()))
    if kept:
        found.rows += store_events(connection, kept).stored


def _requests(
    connection: Connection, node: str, items: Sequence[Any], bounds: _Bounds, found: KindRead
) -> None:
    kept = {}
    for at, item in enumerate(_REQUESTS.validate_python(items)):
        if isinstance(item, Malformed):
            found.reject(f"requests[{at}].{item.field}", item.message)
        elif why := bounds.refuses(item.minute):
            found.reject(f"requests of {item.minute.isoformat()}", why)
        else:
            kept[to_minute(item.minute)] = item.rows
            found.rows += len(item.rows)
    replace_minutes(connection, node, kept, now=bounds.now)


def _containers(
    connection: Connection, node: str, items: Sequence[Any], bounds: _Bounds, found: KindRead
) -> None:
    rows: list[ContainerRow | Malformed] = []
    for at, item in enumerate(_CONTAINERS.validate_python(items)):
        if isinstance(item, Malformed):
            found.reject(f"containers[{at}].{item.field}", item.message)
        elif why := bounds.refuses(item.minute):
            found.reject(f"containers of {item.minute.isoformat()}", why)
        else:
            rows += [row.model_copy(update={"minute": item.minute}) for row in item.rows]
    tally = store_containers(
        connection, rows, node=node, pulled=True, max_age=bounds.max_age, now=bounds.now
    )
    found.rows += tally.count("stored")
    for one in tally.rejected:
        found.reject(f"container {one.id}", f"{one.field}: {one.message}")


def _add(total: KindRead, part: KindRead) -> None:
    total.rows += part.rows
    total.rejected += part.rejected
    total.samples = (total.samples + part.samples)[:MAX_SAMPLES]
