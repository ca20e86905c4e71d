"""Earlier samples and collections of containers, read from userdb."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, func, select

from include.collectors.container_stats.runtime import CpuCounters, Period
from include.collectors.container_stats.sample import Previous
from userdb.models import Collection, ContainerSample

#: A sample that is older says nothing about now: its CPU share would be a day's average.
_LOOKBACK_MINUTES = 24 * 60
_BATCH = 5000


def previous_samples(
    connection: Connection,
    series_ids: Sequence[int],
    *,
    minute: int,
    cadence: timedelta,
    before: datetime,
) -> dict[tuple[int, str], Previous]:
    """The last sample taken before ``before``, by series and container id.

    The last one by the time when it was taken: windows that end within one cadence may have been
    collected in another order than their own.
    """
    reach = cadence // timedelta(minutes=1)
    table = ContainerSample
    found: dict[tuple[int, str], Previous] = {}
    for at in range(0, len(series_ids), _BATCH):
        newest = (
            select(table.series_id, func.max(table.minute).label("minute"))
            .where(
                table.series_id.in_(series_ids[at : at + _BATCH]),
                table.minute.between(minute - _LOOKBACK_MINUTES, minute + reach),
                table.minute != minute,
            )
            .group_by(table.series_id)
            .subquery()
        )
        rows = connection.execute(
            select(
                table.series_id,
                table.container_id,
                table.started_at,
                table.restarts,
                table.cpu_total_ns,
                table.cpu_system_ns,
                table.online_cpus,
            )
            .join(
                newest,
                and_(
                    table.series_id == newest.c.series_id,
                    table.minute.between(newest.c.minute - 2 * reach, newest.c.minute),
                ),
            )
            .where(table.observed_at < before, table.minute != minute)
            .order_by(table.observed_at)
        )
        for row in rows:
            cpu = None
            if row.cpu_total_ns is not None and row.cpu_system_ns is not None:
                cpu = CpuCounters(row.cpu_total_ns, row.cpu_system_ns, row.online_cpus or 0)
            found[row.series_id, row.container_id] = Previous(row.started_at, row.restarts, cpu)
    return found


def is_collected(connection: Connection, collector: str, source: str, end: datetime) -> bool:
    """Whether a window with this end has been collected from ``source``."""
    return (
        connection.scalar(
            select(Collection.id)
            .where(
                Collection.collector == collector,
                Collection.window_end == end,
                Collection.source == source,
                Collection.status == "ok",
            )
            .limit(1)
        )
        is not None
    )


def last_collected(
    connection: Connection, collector: str, source: str, end: datetime
) -> datetime | None:
    """When ``source`` was last collected for a window before the one with this end."""
    return connection.scalar(
        select(Collection.started_at)
        .where(
            Collection.collector == collector,
            Collection.window_end < end,
            Collection.source == source,
            Collection.status == "ok",
        )
        .order_by(Collection.window_end.desc())
        .limit(1)
    )


def event_period(
    connection: Connection, source: str, end: datetime, now: datetime, cadence: timedelta
) -> Period:
    """Since when a host is asked for events: one cadence before its last collection.

    They overlap, as clocks differ and a collection may have got no events. At most a day.
    """
    last = last_collected(connection, "container_stats", source, end)
    since = (last or now - cadence) - cadence
    return Period(max(since, now - timedelta(minutes=_LOOKBACK_MINUTES)), now)
