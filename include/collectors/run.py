"""Run one collector for one window."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from monitoring.window import Window, refuse_future

from include.collectors.config import Settings, load_settings
from include.collectors.protocol import Collector
from include.collectors.registry import create
from userdb.errors import CollectionError, MonitoringError
from userdb.ledger import CollectionReport, Part, SourceReport, new_attempt, record
from userdb.retention import read_floors
from userdb.store import Store
from userdb.times import from_minute

#: Stands in the ledger for all sources of a collector that failed as a whole.
ALL_SOURCES = "*"


def run_collector(
    name: str,
    window: Window,
    store: Store,
    *,
    now: datetime,
    run_id: str | None = None,
    settings: Settings | None = None,
    only: Collection[str] | None = None,
) -> CollectionReport:
    """Collect ``window`` with the collector ``name``; its report may hold failed sources.

    A collector that fails as a whole is in the ledger as a failed source ``*``, so that its
    window is known to be unknown, and why. So is the part of the window that lies before the
    retention floor, as unavailable: what was purged is not collected again.

    Args:
        only: collect these sources; other processes collect the others, for the same ``run_id``.
            The window is covered when all of them have. Names that are no longer configured are
            left out.

    Raises:
        WindowError: the window ends after ``now``.
        ConfigError: the settings are wrong, or there is no such collector.
        CollectionError: the collector failed in a way that it doesn't know; names the cause.
        MonitoringError: any other that the collector raised itself.
    """
    refuse_future(window, now)
    started = time.perf_counter()
    collector: Collector | None = None
    part: Part | None = None
    try:
        collector = create(name, load_settings() if settings is None else settings)
        if only is not None:
            part = Part.of(f"{run_id}/{name}", collector.sources, only)
        return _collect_kept(collector, window, store, now=now, run_id=run_id, part=part)
    except Exception as cause:
        expected = isinstance(cause, MonitoringError)
        why = str(cause) if expected else f"{type(cause).__name__}: {cause}"
        # a part that failed must not stand for the others, who may know no better next time
        failed = sorted(part.own) if part else [ALL_SOURCES]
        report = CollectionReport(
            collector=name,
            start=window.start,
            end=window.end,
            sources=tuple(SourceReport(one, "failed", message=why) for one in failed),
            started_at=now,
            duration_s=time.perf_counter() - started,
            attempt=part.attempt if part else new_attempt(),
        )
        _record_failure(store, report, collector, run_id, part, cause)
        if expected:
            raise
        raise CollectionError(
            f"the collector {name} failed for {window}: {why}. Nothing of this attempt that was "
            "not committed is kept; the window can be collected again."
        ) from cause


def _collect_kept(
    collector: Collector,
    window: Window,
    store: Store,
    *,
    now: datetime,
    run_id: str | None,
    part: Part | None,
) -> CollectionReport:
    """Collect what of ``window`` lies behind no floor; the report is about all of it."""
    with store.read() as connection:
        floor = read_floors(connection).get(collector.family)
    if floor is None or window.first_minute >= floor:
        return collector.collect(window, store, now=now, run_id=run_id, part=part)
    purged = Window.of_minutes(window.first_minute, min(floor, window.stop_minute))
    source = SourceReport(
        ALL_SOURCES,
        "unavailable",
        message=f"{purged} was purged from userdb ({collector.family} minutes are kept from "
        f"{from_minute(floor):%Y-%m-%dT%H:%MZ} on), and is not collected again",
    )
    report = CollectionReport(collector.name, purged.start, purged.end, (source,), now, 0.0)
    store.write(lambda connection: record(connection, report, collector.family, run_id))
    if purged.end == window.end:
        return report
    kept = Window(purged.end, window.end)
    collected = collector.collect(kept, store, now=now, run_id=run_id, part=part)
    return replace(collected, start=window.start, sources=(*collected.sources, source))


def _record_failure(
    store: Store,
    report: CollectionReport,
    collector: Collector | None,
    run_id: str | None,
    part: Part | None,
    cause: Exception,
) -> None:
    family = collector.family if collector is not None else ""
    try:
        awaited = part.others if part else ()
        store.write(lambda connection: record(connection, report, family, run_id, awaited=awaited))
    except Exception as error:
        # the first failure is the one to be told; userdb may be what failed
        cause.add_note(f"and the ledger could not be written: {error}")
