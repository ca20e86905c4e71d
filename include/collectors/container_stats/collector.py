"""The collector container_stats: what engines say of their containers, once a window."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitoring.window import Window
from sqlalchemy import Connection, insert

from include.collectors.container_stats.docker_engine import DockerEngine
from include.collectors.container_stats.labels import series_labels
from include.collectors.container_stats.previous import (
    is_collected,
    last_collected,
    previous_samples,
)
from include.collectors.container_stats.runtime import Container, Listing, Runtime
from include.collectors.container_stats.sample import sample_row
from include.collectors.container_stats.settings import ContainerStatsSettings, EngineHost
from include.collectors.registry import register
from include.collectors.time_limit import Outcome, call_all
from userdb.errors import CollectionError
from userdb.ledger import (
    MAX_SAMPLES,
    CollectionReport,
    Rejected,
    SourceReport,
    mark_dirty,
    record,
)
from userdb.models import ContainerSample
from userdb.series import fingerprint, intern_series, lock_series, touch_series
from userdb.store import Store

log = logging.getLogger(__name__)

#: Makes the runtime of a configured host.
OpenRuntime = Callable[[EngineHost, ContainerStatsSettings], Runtime]

_BATCH = 500


def open_docker(host: EngineHost, settings: ContainerStatsSettings) -> Runtime:
    """The Docker Engine of ``host``; nothing is connected yet."""
    return DockerEngine(host, timeout_s=settings.timeout_s, concurrency=settings.concurrency)


@dataclass(frozen=True)
class _Sighting:
    """A host's containers, and when it was asked."""

    host: EngineHost
    asked_at: datetime
    listing: Listing


@register("container_stats")
class ContainerStatsCollector:
    """Samples every container of the configured engines.

    Live state belongs to now: it is filed in the window's last minute if it is taken within one
    cadence of the window's end, and stands for one cadence before it at most. Anything else about
    a window can't be told any more; the ledger says so, and it stays unknown. The first success
    for a window's end counts, and later ones change nothing.
    """

    name = "container_stats"
    family = "container"

    def __init__(
        self, settings: ContainerStatsSettings, *, open_runtime: OpenRuntime = open_docker
    ) -> None:
        self._settings = settings
        self._open_runtime = open_runtime

    def collect(
        self, window: Window, store: Store, *, now: datetime, run_id: str | None = None
    ) -> CollectionReport:
        """See ``Collector.collect``. The report is about the part that a sample can stand for.

        Without configured hosts it has no sources and nothing is written: what containers do is
        unknown then.
        """
        began = time.perf_counter()
        hosts, cadence = self._settings.hosts, self._settings.cadence
        if not hosts:
            log.warning(
                "container_stats has no hosts, so nothing is known of containers; "
                "name an engine in container_stats.hosts of sources.yaml"
            )
            return _report(window, (), now, began)
        if now - window.end > cadence:
            report = self._untold(window, now, began, "live state can't be collected for a past")
            store.write(lambda connection: record(connection, report, self.family, run_id))
            return report
        told = Window(max(window.start, window.end - cadence), window.end)
        with store.read() as connection:
            collected = {
                host.name
                for host in hosts
                if is_collected(connection, self.name, host.name, window.end)
            }
        outcomes = self._ask([host for host in hosts if host.name not in collected])

        def work(connection: Connection) -> CollectionReport:
            if window.start < told.start:
                rest = Window(window.start, told.start)
                untold = self._untold(rest, now, began, "one sample can't stand for this part of a")
                record(connection, untold, self.family, run_id)
            sources = []
            for host in hosts:
                if host.name in collected:
                    sources.append(_collected_before(host))
                elif (listing := outcomes[host.name].value) is not None:
                    sources.append(self._store(connection, told, _Sighting(host, now, listing)))
                else:
                    why = _explain(host, outcomes[host.name].error)
                    sources.append(SourceReport(host.name, "failed", message=why))
            report = _report(told, tuple(sources), now, began)
            record(connection, report, self.family, run_id)
            return report

        return store.write(work)

    def _ask(self, hosts: Sequence[EngineHost]) -> dict[str, Outcome[Listing]]:
        """Ask all hosts at the same time. Each has its own time limit."""
        outcomes: dict[str, Outcome[Listing]] = {}
        runtimes: dict[str, Runtime] = {}
        for host in hosts:
            try:
                runtimes[host.name] = self._open_runtime(host, self._settings)
            except CollectionError as error:
                outcomes[host.name] = Outcome(error=error)
        calls = [runtime.containers for runtime in runtimes.values()]
        answers = call_all(calls, workers=len(calls))
        return outcomes | dict(zip(runtimes, answers, strict=True))

    def _untold(self, window: Window, now: datetime, began: float, why: str) -> CollectionReport:
        message = (
            f"{why} window: containers are asked within {self._settings.cadence} after its end"
        )
        sources = tuple(
            SourceReport(host.name, "unavailable", message=message) for host in self._settings.hosts
        )
        return _report(window, sources, now, began)

    def _store(self, connection: Connection, window: Window, sighting: _Sighting) -> SourceReport:
        kept, rejected = _one_per_series(sighting)
        ids = intern_series(connection, self.family, [labels for labels, _ in kept.values()])
        lock_series(connection, ids.values())
        if is_collected(connection, self.name, sighting.host.name, window.end):
            return _collected_before(sighting.host)
        rows = self._rows(connection, window, sighting, kept, ids)
        for at in range(0, len(rows), _BATCH):
            connection.execute(insert(ContainerSample), rows[at : at + _BATCH])
        if rows:
            minute = window.stop_minute - 1
            touch_series(connection, {row["series_id"]: (minute, minute) for row in rows})
            mark_dirty(connection, self.family, [minute])
        return SourceReport(
            sighting.host.name,
            "ok",
            rows=len(rows),
            rejected=len(rejected),
            samples=tuple(rejected[:MAX_SAMPLES]),
        )

    def _rows(
        self,
        connection: Connection,
        window: Window,
        sighting: _Sighting,
        kept: dict[str, tuple[dict[str, str], Container]],
        ids: dict[str, int],
    ) -> list[dict[str, Any]]:
        minute, cadence = window.stop_minute - 1, self._settings.cadence
        last = last_collected(connection, self.name, sighting.host.name, window.end)
        earlier = previous_samples(
            connection,
            sorted(ids.values()),
            minute=minute,
            cadence=cadence,
            before=sighting.asked_at,
        )
        return [
            sample_row(
                container,
                earlier.get((ids[mark], container.container_id)),
                minute=minute,
                series_id=ids[mark],
                observed_at=sighting.asked_at + timedelta(seconds=container.read_after_s),
                since=last or sighting.asked_at - 2 * cadence,
            )
            for mark, (_, container) in kept.items()
        ]


def _one_per_series(
    sighting: _Sighting,
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


def _collected_before(host: EngineHost) -> SourceReport:
    return SourceReport(host.name, "ok", message="collected before; the first success counts")


def _explain(host: EngineHost, error: Exception | None) -> str:
    if isinstance(error, CollectionError):
        return str(error)
    return f"the engine {host.name} at {host.url} failed: {type(error).__name__}: {error}"


def _report(
    window: Window, sources: tuple[SourceReport, ...], now: datetime, began: float
) -> CollectionReport:
    return CollectionReport(
        collector=ContainerStatsCollector.name,
        start=window.start,
        end=window.end,
        sources=sources,
        started_at=now,
        duration_s=time.perf_counter() - began,
    )
