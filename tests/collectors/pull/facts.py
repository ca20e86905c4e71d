"""What nodes hold in these tests, and what came of pulling it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from monitoring.window import Window
from sqlalchemy import Connection, func, select

from include.collectors.nodes.push import push_containers, push_requests
from include.collectors.nodes.wire import ContainerRow, Covered, MinuteRow
from include.collectors.pull.collector import Pull
from include.collectors.pull.settings import PullNode, PullSettings
from userdb.events import EventRecord, store_events
from userdb.ledger import CollectionReport, SourceReport, family_covered, record
from userdb.models import ContainerSample, EventMinute, MonitorEvent, RequestMinute, Series
from userdb.store import Store
from userdb.times import from_minute, to_minute

MINUTE = timedelta(minutes=1)
#: The window that is pulled ends now, as a scheduled one: nodes have clocks.
STOP = to_minute(datetime.now(UTC))
FIRST = STOP - 5
WINDOW = Window.of_minutes(FIRST, STOP)
_COLLECTORS = {
    "event": "gateway_exceptions",
    "request": "request_logs",
    "container": "container_stats",
}


def add_events(store: Store, *marks: str, at: datetime | None = None, **given: Any) -> None:
    happened = at or from_minute(FIRST) + timedelta(seconds=5)
    rows = [
        EventRecord(
            **{
                "event_id": mark,
                "event_type": "gateway",
                "source": "gateway_client",
                "level": "error",
                "message": f"failed: {mark}",
                "detail": {"é": [1, None]},
                "occurred_at": happened,
                "created_at": happened,
                "service": "sim",
            }
            | given
        )
        for mark in marks
    ]
    store.write(lambda connection: store_events(connection, rows))


def add_minute(store: Store, node: str, minute: int, ok: int, service: str = "sim") -> None:
    row = MinuteRow(minute=from_minute(minute), service=service, requests=ok, ok=ok)
    push_requests(store, node, minutes=[row], now=datetime.now(UTC))


def add_sample(store: Store, node: str, minute: int, cpu: float = 10.0, **given: Any) -> None:
    row = ContainerRow(
        observed_at=from_minute(minute) + timedelta(seconds=3),
        container="worker",
        container_id="c1",
        state="running",
        cpu_percent=cpu,
        host="local",
        **given,
    )
    push_containers(store, node, rows=[row], now=datetime.now(UTC))


def covered(first: int, stop: int) -> Covered:
    return Covered.model_validate({"from": from_minute(first), "to": from_minute(stop)})


def cover(store: Store, family: str, first: int, stop: int, status: str = "ok") -> None:
    """As the family's own collector does."""
    report = CollectionReport(
        collector=_COLLECTORS[family],
        start=from_minute(first),
        end=from_minute(stop),
        sources=(SourceReport("own", status),),
        started_at=from_minute(stop),
        duration_s=0.1,
    )
    store.write(lambda connection: record(connection, report, family, None))


def cover_all(store: Store, first: int = FIRST, stop: int = STOP) -> None:
    for family in _COLLECTORS:
        cover(store, family, first, stop)


def pull(
    store: Store,
    *nodes: PullNode,
    window: Window = WINDOW,
    now: datetime | None = None,
    **given: Any,
) -> CollectionReport:
    settings = PullSettings(nodes=list(nodes), **given)
    return Pull(settings).collect(window, store, now=now or datetime.now(UTC), run_id="run 1")


def statuses(report: CollectionReport) -> dict[str, str]:
    return {one.source: one.status for one in report.sources}


def covers(store: Store, family: str, first: int = FIRST, stop: int = STOP) -> list[int]:
    """Which minutes are covered, counted from FIRST."""
    with store.read() as connection:
        found = family_covered(connection, family, first, stop)
    return [int(at) + first - FIRST for at in np.flatnonzero(found)]


def events(store: Store) -> dict[str, int]:
    """How often each event is stored, by its id."""
    with store.read() as connection:
        rows = connection.execute(
            select(MonitorEvent.event_id, func.count()).group_by(MonitorEvent.event_id)
        )
        return {row[0]: row[1] for row in rows}


def counted_events(store: Store) -> int:
    with store.read() as connection:
        return int(connection.scalar(select(func.sum(EventMinute.events))) or 0)


def requests(store: Store) -> dict[tuple[str, int], int]:
    """Requests by source and minute, counted from FIRST."""
    with store.read() as connection:
        return _by_label(connection, RequestMinute, RequestMinute.requests, "source")


def samples(store: Store) -> dict[tuple[str, int], float]:
    """CPU by host and minute, counted from FIRST."""
    with store.read() as connection:
        return _by_label(connection, ContainerSample, ContainerSample.cpu_percent, "host")


def _by_label(connection: Connection, table: Any, value: Any, label: str) -> dict[Any, Any]:
    rows = connection.execute(
        select(Series.labels, table.minute, value).join(Series, Series.id == table.series_id)
    ).all()
    found = {(row[0][label], row[1] - FIRST): row[2] for row in rows}
    assert len(found) == len(rows)
    return found
