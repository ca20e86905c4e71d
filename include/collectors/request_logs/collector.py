"""The collector request_logs: gateways' log files into request_log and request_minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from monitoring.window import Window
from sqlalchemy import Connection

from include.collectors.registry import register
from include.collectors.request_logs.files import open_files
from include.collectors.request_logs.lock import source_lock
from include.collectors.request_logs.lookup import read_lookup
from include.collectors.request_logs.parse import Parser
from include.collectors.request_logs.replace import FAMILY
from include.collectors.request_logs.settings import LogSource, RequestLogsSettings
from include.collectors.request_logs.source_run import Collected, Range, SourceRun
from userdb.errors import CollectionError, ConfigError
from userdb.ledger import CollectionReport, Part, SourceReport, new_attempt, record
from userdb.retention import read_floors
from userdb.store import Store
from userdb.times import from_minute

#: How far lines may lie out of order beyond ``lateness`` (buffered logs, clocks set a bit).
_DISORDER = timedelta(minutes=5)


@register("request_logs")
class RequestLogs:
    """Reads each source's files from ``lateness`` before the window, and replaces file by file.

    A source that can't be read, or is described wrongly, is a failed row of the report, and
    nothing stored of it is changed. Where its files no longer hold the window, the row says
    ``unavailable`` for the part that they don't hold, unless that was collected before.
    """

    name = "request_logs"
    family = FAMILY

    def __init__(self, settings: RequestLogsSettings) -> None:
        self._settings = settings

    @property
    def sources(self) -> Sequence[str]:
        return [source.name for source in self._settings.sources]

    def collect(
        self,
        window: Window,
        store: Store,
        *,
        now: datetime,
        run_id: str | None = None,
        part: Part | None = None,
    ) -> CollectionReport:
        """See ``include.collectors.protocol.Collector``.

        Raises:
            UserdbUnavailable: userdb can't be reached.
        """
        started = time.perf_counter()
        with store.read() as connection:
            floor = read_floors(connection).get(self.family, 0)
        # what was purged is not read again, though the log may still hold it
        low = max(window.extended(self._settings.lateness).first_minute, floor)
        span = Range(
            window,
            low * 60_000_000,
            window.stop_minute * 60_000_000,
            (self._settings.lateness + _DISORDER) // timedelta(microseconds=1),
        )
        collected = [
            self._collect_source(source, span, store, now)
            for source in self._settings.sources
            if part is None or source.name in part.own
        ]

        def report(first: int, stop: int, sources: tuple[SourceReport, ...]) -> CollectionReport:
            return CollectionReport(
                collector=self.name,
                start=from_minute(window.first_minute + first),
                end=from_minute(window.first_minute + stop),
                sources=sources,
                started_at=now,
                duration_s=time.perf_counter() - started,
                attempt=new_attempt() if part is None else part.attempt,
            )

        size = window.stop_minute - window.first_minute
        cuts = [
            0,
            *(
                at
                for at in range(1, size)
                if any(found.status(at) != found.status(at - 1) for found in collected)
            ),
            size,
        ]
        parts = [
            report(
                first, stop, tuple(_part(found, first, last=stop == size) for found in collected)
            )
            for first, stop in pairwise(cuts)
        ]

        def work(connection: Connection) -> None:
            for one in parts:
                record(connection, one, self.family, run_id, awaited=part.others if part else ())

        store.write(work)
        return report(0, size, tuple(found.report for found in collected))

    def _collect_source(
        self, source: LogSource, span: Range, store: Store, now: datetime
    ) -> Collected:
        window = span.window
        size = window.stop_minute - window.first_minute
        try:
            lookup = read_lookup(store, source, span.low, span.high)
            with (
                Parser(source, self._settings, lookup) as parser,
                source_lock(store, source.name),
                open_files(source) as found,
            ):
                return SourceRun(source, span, store, now, parser).run(found)
        except (CollectionError, ConfigError) as error:
            return Collected(
                SourceReport(source.name, "failed", message=str(error)),
                np.zeros(size, dtype=np.bool_),
            )


def _part(found: Collected, minute: int, *, last: bool) -> SourceReport:
    """A source's row for a part of the window; the last part's has the counts of all."""
    report, status = found.report, found.status(minute)
    message = None if status == "ok" and report.status == "unavailable" else report.message
    if not last:
        return SourceReport(report.source, status, message=message)
    return SourceReport(
        report.source,
        status,
        report.rows,
        report.rejected,
        report.late,
        report.samples,
        message,
    )
