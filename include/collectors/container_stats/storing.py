"""What a host said, into userdb: samples, series, events and dirty minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitoring.window import Window
from sqlalchemy import Connection, insert

from include.collectors.container_stats.event_rows import event_record, happened, new_events
from include.collectors.container_stats.labels import series_labels
from include.collectors.container_stats.previous import (
    is_collected,
    last_collected,
    previous_samples,
)
from include.collectors.container_stats.runtime import Container, ContainerEvent, Listing, Period
from include.collectors.container_stats.sample import sample_row
from include.collectors.container_stats.settings import EngineHost
from userdb.events import store_events
from userdb.ledger import MAX_SAMPLES, Rejected, SourceReport, mark_dirty
from userdb.models import ContainerSample
from userdb.series import fingerprint, intern_series, lock_series, touch_series

COLLECTOR = "container_stats"
FAMILY = "container"
_BATCH = 500
#: Events stored by one statement.
_EVENTS = 2000


@dataclass(frozen=True)
class Sighting:
    """A host's containers, and when it was asked."""

    host: EngineHost
    asked_at: datetime
    listing: Listing
    cadence: timedelta


def store_sighting(connection: Connection, window: Window, sighting: Sighting) -> SourceReport:
    """Store what a host said for the last minute of ``window``, unless it is there already."""
    kept, rejected = _one_per_series(sighting)
    ids = intern_series(connection, FAMILY, [labels for labels, _ in kept.values()])
    lock_series(connection, ids.values())
    if is_collected(connection, COLLECTOR, sighting.host.name, window.end):
        return collected_before(sighting.host)
    events = _store_events(connection, sighting)
    rows = _rows(connection, window, sighting, kept, ids, events)
    for at in range(0, len(rows), _BATCH):
        connection.execute(insert(ContainerSample), rows[at : at + _BATCH])
    if rows:
        minute = window.stop_minute - 1
        touch_series(connection, {row["series_id"]: (minute, minute) for row in rows})
        mark_dirty(connection, FAMILY, [minute])
    return SourceReport(
        sighting.host.name,
        "ok",
        rows=len(rows),
        rejected=len(rejected),
        samples=tuple(rejected[:MAX_SAMPLES]),
        message="; ".join(sighting.listing.notes) or None,
    )


def collected_before(host: EngineHost) -> SourceReport:
    """The report on a host that has been collected for the same window."""
    return SourceReport(host.name, "ok", message="collected before; the first success counts")


def _store_events(connection: Connection, sighting: Sighting) -> tuple[ContainerEvent, ...] | None:
    """Store what happened; returns what was not known before, None where nothing was told."""
    told = sighting.listing.events
    if told is None:
        return None
    records = [event_record(one, sighting.host.name, sighting.asked_at) for one in told]
    new: frozenset[str] = frozenset()
    for at in range(0, len(records), _EVENTS):
        new |= store_events(connection, records[at : at + _EVENTS]).new
    return new_events(told, new)


def _rows(
    connection: Connection,
    window: Window,
    sighting: Sighting,
    kept: dict[str, tuple[dict[str, str], Container]],
    ids: dict[str, int],
    events: Sequence[ContainerEvent] | None,
) -> list[dict[str, Any]]:
    minute, asked_at = window.stop_minute - 1, sighting.asked_at
    last = last_collected(connection, COLLECTOR, sighting.host.name, window.end)
    since = last or asked_at - 2 * sighting.cadence
    earlier = previous_samples(
        connection,
        sorted(ids.values()),
        minute=minute,
        cadence=sighting.cadence,
        before=asked_at,
    )
    return [
        sample_row(
            container,
            earlier.get((ids[mark], container.container_id)),
            minute=minute,
            series_id=ids[mark],
            observed_at=asked_at + timedelta(seconds=container.read_after_s),
            since=since,
            happened=happened(container, events, Period(since, asked_at)),
        )
        for mark, (_, container) in kept.items()
    ]


def _one_per_series(
    sighting: Sighting,
) -> tuple[dict[str, tuple[dict[str, str], Container]], list[Rejected]]:
    """Containers by fingerprint of their labels, and what is left out.

    Where two have the same labels (one is renamed or replaced just now), it is the one that runs,
    else the newer one.
    """
    rejected = list(sighting.listing.rejected)
    kept: dict[str, tuple[dict[str, str], Container]] = {}
    order = sorted(
        sighting.listing.containers,
        key=lambda c: (
            c.state != "running",
            -(c.created_at.timestamp() if c.created_at else 0.0),
            c.container_id,
        ),
    )
    for container in order:
        labels = series_labels(
            name=container.name,
            image=container.image,
            labels=container.labels,
            host=sighting.host.name,
        )
        mark = fingerprint(labels)
        if mark in kept:
            why = f"has the same labels as {kept[mark][1].container_id[:12]}"
            rejected.append(Rejected(container.name, why, container.container_id[:12]))
        else:
            kept[mark] = (labels, container)
    return kept, rejected
