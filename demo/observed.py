"""What the chain stored, read back from userdb for the demo's report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from demo.traffic import OUTCOMES
from userdb.models import (
    Collection,
    ContainerSample,
    EventMinute,
    MonitorEvent,
    RequestMinute,
    Series,
)
from userdb.times import from_minute, to_minute


@dataclass(frozen=True)
class MinuteRow:
    """One minute over all series. ``containers`` is None in minutes without a sample."""

    minute: datetime
    requests: int
    outcomes: dict[str, int]
    slowest_ms: float
    events: int
    containers: int | None
    restarts: int


@dataclass(frozen=True)
class Problem:
    """A source that a collector could not collect, or not for the whole window.

    ``status`` is failed, or unavailable: then the source can't tell about all of it.
    """

    collector: str
    source: str
    window_start: datetime
    status: str
    message: str


def minutes(connection: Connection, start: datetime, end: datetime) -> list[MinuteRow]:
    """The minutes of [start, end), each of them."""
    first, stop = to_minute(start), to_minute(end)
    within = RequestMinute.minute.between(first, stop - 1)
    sums = [func.sum(getattr(RequestMinute, outcome)) for outcome in OUTCOMES]
    slowest = func.max(RequestMinute.latency_max_ms)
    requests = {
        row[0]: row
        for row in connection.execute(
            select(RequestMinute.minute, func.sum(RequestMinute.requests), slowest, *sums)
            .where(within)
            .group_by(RequestMinute.minute)
        )
    }
    events = {
        minute: int(count)
        for minute, count in connection.execute(
            select(EventMinute.minute, func.coalesce(func.sum(EventMinute.events), 0))
            .where(EventMinute.minute.between(first, stop - 1))
            .group_by(EventMinute.minute)
        )
    }
    samples = {
        minute: (count, restarts)
        for minute, count, restarts in connection.execute(
            select(
                ContainerSample.minute,
                func.count(),
                func.coalesce(func.sum(ContainerSample.restarts_delta), 0),
            )
            .where(ContainerSample.minute.between(first, stop - 1))
            .group_by(ContainerSample.minute)
        )
    }
    rows = []
    for minute in range(first, stop):
        counts = requests.get(minute)
        containers, restarts = samples.get(minute, (None, 0))
        rows.append(
            MinuteRow(
                minute=from_minute(minute),
                requests=int(counts[1]) if counts else 0,
                outcomes={
                    outcome: int(counts[3 + index]) if counts else 0
                    for index, outcome in enumerate(OUTCOMES)
                },
                slowest_ms=float(counts[2] or 0) if counts else 0.0,
                events=events.get(minute, 0),
                containers=containers,
                restarts=int(restarts or 0),
            )
        )
    return rows


def requests_by_route(connection: Connection) -> Counter[tuple[str, str]]:
    """Collected requests by (route, outcome)."""
    sums = [func.sum(getattr(RequestMinute, outcome)) for outcome in OUTCOMES]
    found: Counter[tuple[str, str]] = Counter()
    for labels, *counts in connection.execute(
        select(Series.labels, *sums)
        .join_from(RequestMinute, Series, Series.id == RequestMinute.series_id)
        .group_by(Series.id, Series.labels)
    ):
        for outcome, count in zip(OUTCOMES, counts, strict=True):
            if count:
                found[labels.get("route", ""), outcome] += int(count)
    return found


def events_stored(connection: Connection) -> tuple[int, int]:
    """Events in monitor_event, and as counted per minute."""
    stored = connection.execute(select(func.count()).select_from(MonitorEvent)).scalar_one()
    counted = connection.execute(select(func.sum(EventMinute.events))).scalar_one()
    return int(stored), int(counted or 0)


def problems(connection: Connection) -> list[Problem]:
    """Everything that the ledger says was not collected."""
    columns = (
        Collection.collector,
        Collection.source,
        Collection.window_start,
        Collection.status,
        func.coalesce(Collection.message, ""),
    )
    query = select(*columns).where(Collection.status != "ok").order_by(Collection.id)
    return [Problem(*row) for row in connection.execute(query)]
