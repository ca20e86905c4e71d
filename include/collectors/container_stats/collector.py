"""The collector container_stats: what engines say of their containers, once a window."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from monitoring.window import Window
from sqlalchemy import Connection

from include.collectors.container_stats.previous import event_period, is_collected
from include.collectors.container_stats.runtime import Listing, Period, Runtime
from include.collectors.container_stats.runtimes import OpenRuntime, open_runtime
from include.collectors.container_stats.settings import ContainerStatsSettings, EngineHost
from include.collectors.container_stats.storing import (
    COLLECTOR,
    FAMILY,
    Sighting,
    collected_before,
    store_sighting,
)
from include.collectors.manifests.comparison import compare
from include.collectors.manifests.loader import load_manifests
from include.collectors.registry import register
from include.collectors.time_limit import Outcome, call_all
from userdb.errors import CollectionError, ConfigError, MonitoringError
from userdb.ledger import (
    CollectionReport,
    Part,
    Rejected,
    SourceReport,
    record,
)
from userdb.store import Store

log = logging.getLogger(__name__)


@register(COLLECTOR)
class ContainerStatsCollector:
    """Samples every container of the configured engines.

    Live state belongs to now: it is filed in the window's last minute if it is taken within one
    cadence of the window's end, and stands for one cadence before it at most. Anything else about
    a window can't be told any more; the ledger says so, and it stays unknown. The first success
    for a window's end counts, and later ones change nothing.
    """

    name = COLLECTOR
    family = FAMILY

    def __init__(
        self, settings: ContainerStatsSettings, *, open_runtime: OpenRuntime = open_runtime
    ) -> None:
        self._settings = settings
        self._open_runtime = open_runtime

    @property
    def sources(self) -> Sequence[str]:
        return [host.name for host in self._settings.hosts]

    def collect(
        self,
        window: Window,
        store: Store,
        *,
        now: datetime,
        run_id: str | None = None,
        part: Part | None = None,
    ) -> CollectionReport:
        """See ``Collector.collect``. The report is about the part that a sample can stand for.

        Without configured hosts it has no sources and nothing is written: what containers do is
        unknown then.
        """
        began = time.perf_counter()
        cadence = self._settings.cadence
        hosts = [one for one in self._settings.hosts if part is None or one.name in part.own]
        others = part.others if part else ()
        if not hosts:
            log.warning(
                "container_stats has no hosts, so nothing is known of containers; "
                "name an engine in container_stats.hosts of sources.yaml"
            )
            return _report(window, (), now, began)
        if now - window.end > cadence:
            why = "live state can't be collected for a past"
            report = _shared(self._untold(hosts, window, now, began, why), part)
            store.write(
                lambda connection: record(connection, report, self.family, run_id, awaited=others)
            )
            return report
        told = Window(max(window.start, window.end - cadence), window.end)
        with store.read() as connection:
            collected = {
                host.name
                for host in hosts
                if is_collected(connection, self.name, host.name, window.end)
            }
            periods = {
                host.name: event_period(connection, host.name, window.end, now, cadence)
                for host in hosts
                if host.name not in collected
            }
        outcomes = self._ask([host for host in hosts if host.name not in collected], periods)
        seen = {
            host.name: _with_declared(host, listing)
            for host in hosts
            if host.name in outcomes and (listing := outcomes[host.name].value) is not None
        }

        def work(connection: Connection) -> CollectionReport:
            if window.start < told.start:
                rest = Window(window.start, told.start)
                why = "one sample can't stand for this part of a"
                untold = _shared(self._untold(hosts, rest, now, began, why), part)
                record(connection, untold, self.family, run_id, awaited=others)
            sources = []
            for host in hosts:
                if host.name in collected:
                    sources.append(collected_before(host))
                elif host.name in seen:
                    sighting = Sighting(host, now, seen[host.name], cadence)
                    sources.append(store_sighting(connection, told, sighting))
                else:
                    why = _explain(host, outcomes[host.name].error)
                    sources.append(SourceReport(host.name, "failed", message=why))
            report = _shared(_report(told, tuple(sources), now, began), part)
            record(connection, report, self.family, run_id, awaited=others)
            return report

        return store.write(work)

    def _ask(
        self, hosts: Sequence[EngineHost], periods: Mapping[str, Period]
    ) -> dict[str, Outcome[Listing]]:
        """Ask the hosts, some at the same time. Each has its own time limit."""
        outcomes: dict[str, Outcome[Listing]] = {}
        runtimes: dict[str, Runtime] = {}
        for host in hosts:
            try:
                runtimes[host.name] = self._open_runtime(host, self._settings)
            except (CollectionError, ConfigError) as error:
                outcomes[host.name] = Outcome(error=error)
        calls = [partial(runtime.containers, periods[name]) for name, runtime in runtimes.items()]
        answers = call_all(calls, workers=self._settings.hosts_at_once)
        return outcomes | dict(zip(runtimes, answers, strict=True))

    def _untold(
        self, hosts: Sequence[EngineHost], window: Window, now: datetime, began: float, why: str
    ) -> CollectionReport:
        message = (
            f"{why} window: containers are asked within {self._settings.cadence} after its end"
        )
        sources = tuple(SourceReport(host.name, "unavailable", message=message) for host in hosts)
        return _report(window, sources, now, began)


def _shared(report: CollectionReport, part: Part | None) -> CollectionReport:
    """The report, of the attempt that the process has a part in."""
    return report if part is None else replace(report, attempt=part.attempt)


def _with_declared(host: EngineHost, listing: Listing) -> Listing:
    """The listing compared with the host's manifests; bad ones are rejected, and stop nothing."""
    if host.manifests is None:
        return listing
    try:
        manifests = load_manifests(host.manifests)
    except ConfigError as error:
        return replace(listing, notes=(*listing.notes, str(error)))
    compared, _ = compare(manifests, listing, host)
    bad = tuple(Rejected(one.where, f"{one.field}: {one.message}") for one in manifests.problems)
    return replace(compared, rejected=(*compared.rejected, *bad))


def _explain(host: EngineHost, error: Exception | None) -> str:
    if isinstance(error, MonitoringError):
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
