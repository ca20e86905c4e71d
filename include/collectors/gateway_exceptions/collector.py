"""The collector ``gateway_exceptions``: drains spools, and counts events per minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from monitoring.window import Window
from sqlalchemy import Connection

from include.collectors.gateway_exceptions.drain import drain, spool_folders
from include.collectors.gateway_exceptions.rollup import (
    FAMILY,
    RolledUp,
    refile_impossible,
    roll_up,
)
from include.collectors.gateway_exceptions.settings import GatewayExceptionsSettings
from include.collectors.registry import register
from userdb.ledger import MAX_SAMPLES, CollectionReport, Part, Rejected, SourceReport, record
from userdb.store import Store

#: The source of events that were written to userdb directly or by a spool.
USERDB = "userdb"


@register("gateway_exceptions")
class GatewayExceptions:
    """Counts every event that happened before the window's end and isn't counted yet.

    Those from before the window's start are late; those from before the retention floor are
    rejected, as their minutes' counts were purged. The ledger has a row for ``userdb`` (events
    counted) and one for each spool (events newly stored from it).
    """

    name = "gateway_exceptions"
    family = FAMILY

    def __init__(self, settings: GatewayExceptionsSettings) -> None:
        self._settings = settings

    @property
    def sources(self) -> Sequence[str]:
        """None apart: events are counted once all spools are drained."""
        return ()

    def collect(
        self,
        window: Window,
        store: Store,
        *,
        now: datetime,
        run_id: str | None = None,
        part: Part | None = None,
    ) -> CollectionReport:
        """See ``include.collectors.protocol.Collector``; ``part`` changes nothing."""
        started = time.perf_counter()
        spools = [drain(folder, store) for folder in spool_folders(self._settings.spools)]
        refiled, samples = _refile(store, now)
        events = late = given_up = 0

        def finish(connection: Connection) -> tuple[RolledUp, CollectionReport | None]:
            # the ledger is written with the last counts: covered means counted
            step = roll_up(connection, window)
            if step.more:
                return step, None
            behind = given_up + step.given_up
            notes = []
            if refiled:
                notes.append(
                    f"{refiled} events claimed impossible times and are filed under the time of "
                    "their report"
                )
            if behind:
                notes.append(
                    f"{behind} events came too late to be counted: counts from before "
                    f"{step.floor:%Y-%m-%dT%H:%MZ} were purged"
                )
            userdb = SourceReport(
                USERDB,
                "ok",
                rows=events + step.events,
                rejected=behind,
                late=late + step.late,
                samples=samples,
                message="; ".join(notes) or None,
            )
            report = CollectionReport(
                collector=self.name,
                start=window.start,
                end=window.end,
                sources=(userdb, *spools),
                started_at=now,
                duration_s=time.perf_counter() - started,
            )
            record(connection, report, FAMILY, run_id)
            return step, report

        while True:
            step, report = store.write(finish)
            if report is not None:
                return report
            events += step.events
            late += step.late
            given_up += step.given_up


def _refile(store: Store, now: datetime) -> tuple[int, tuple[Rejected, ...]]:
    events = 0
    samples: tuple[Rejected, ...] = ()
    while True:
        step = store.write(lambda connection: refile_impossible(connection, now))
        events += step.events
        samples = (*samples, *step.samples)[:MAX_SAMPLES]
        if not step.more:
            return events, samples
