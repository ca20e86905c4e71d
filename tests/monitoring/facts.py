"""Facts written straight into userdb, as a collector would leave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert

from userdb.ledger import CollectionReport, SourceReport, mark_dirty, record
from userdb.models import ContainerSample, RequestLog, RequestMinute
from userdb.series import fingerprint, intern_series, touch_series
from userdb.store import Store
from userdb.times import from_minute, to_minute

#: A Monday, 10:00 UTC.
T0 = to_minute(datetime(2026, 3, 2, 10, 0, tzinfo=UTC))
LONG_AFTER = datetime(2026, 4, 1, tzinfo=UTC)

_COUNTS = [
    column.name
    for column in RequestMinute.__table__.columns
    if column.name not in ("minute", "series_id", "file_id", "latency_max_ms")
]


def put_requests(
    store: Store,
    rows: Mapping[int, Mapping[str, int]],
    *,
    service: str = "sim",
    route: str = "/run",
    file_id: int = 1,
    **others: str,
) -> None:
    """Replace one series' minutes: minute → counts by column; ``others`` are labels too."""
    labels = {"service": service, "route": route, **others}

    def work(connection):
        (series,) = intern_series(connection, "request", [labels]).values()
        connection.execute(
            delete(RequestMinute).where(
                RequestMinute.series_id == series,
                RequestMinute.file_id == file_id,
                RequestMinute.minute.in_(list(rows)),
            )
        )
        connection.execute(
            insert(RequestMinute),
            [
                {
                    "minute": minute,
                    "series_id": series,
                    "file_id": file_id,
                    "latency_max_ms": None,
                    **{name: counts.get(name, 0) for name in _COUNTS},
                }
                for minute, counts in rows.items()
            ],
        )
        touch_series(connection, {series: (min(rows), max(rows))})
        mark_dirty(connection, "request", list(rows))

    if rows:
        store.write(work)


def put_raw(store: Store, *rows: Mapping[str, Any]) -> None:
    """Raw requests, in the order of their file; ``occurred_at`` must be among their columns."""
    base = {
        "file_id": 1,
        "source": "gateway",
        "service": "sim",
        "route": "/run",
        "instance": None,
        "method": "GET",
        "host": None,
        "path": "/run",
        "status": 200,
        "outcome": "ok",
        "outcome_reason": "status=200",
        "duration_ms": None,
        "request_id": None,
    }
    values = [{**base, "byte_offset": 100 * place, **row} for place, row in enumerate(rows)]
    store.write(lambda connection: connection.execute(insert(RequestLog), values))


def put_sample(store: Store, minute: int, container: str, **columns) -> None:
    """One container's sample in ``minute``."""
    labels = {"container": container}

    def work(connection):
        (series,) = intern_series(connection, "container", [labels]).values()
        connection.execute(
            insert(ContainerSample).values(
                minute=minute,
                series_id=series,
                observed_at=from_minute(minute + 1),
                container_id=fingerprint(labels),
                **{"state": "running", "restarts": 0, "running": 1, **columns},
            )
        )
        touch_series(connection, {series: (minute, minute)})
        mark_dirty(connection, "container", [minute])

    store.write(work)


def cover(
    store: Store,
    first: int,
    stop: int,
    *,
    collector: str = "request_logs",
    family: str = "request",
    sources: Sequence[str] = ("gateway",),
    status: str = "ok",
) -> None:
    """Write the ledger: the minutes [first, stop) were collected."""
    report = CollectionReport(
        collector=collector,
        start=from_minute(first),
        end=from_minute(stop),
        sources=tuple(SourceReport(name, status) for name in sources),
        started_at=from_minute(stop),
        duration_s=0.1,
    )
    store.write(lambda connection: record(connection, report, family, None))
