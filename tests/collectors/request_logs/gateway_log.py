"""Access logs as a gateway writes them, and what userdb should then hold."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from monitoring.window import Window
from sqlalchemy import select

from include.collectors.config import Settings
from include.collectors.run import run_collector
from userdb.ledger import CollectionReport, covered_minutes
from userdb.models import RequestLog, RequestMinute, Series
from userdb.store import Store

#: Minute 0 of the tests.
T0 = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
NOW = T0 + timedelta(days=1)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def window(first: float, stop: float) -> Window:
    return Window(at(first), at(stop))


@dataclass(frozen=True)
class Line:
    """A request of ``minute`` (may be a fraction) after T0."""

    minute: float
    status: int = 200
    path: str = "/api/items/17"
    ms: float = 12.0

    def json(self) -> bytes:
        record = {
            "time": f"{at(self.minute).timestamp():.3f}",
            "remote_addr": "10.0.0.7",
            "remote_user": "",
            "request_method": "GET",
            "host": "gw.example.org",
            "request_uri": self.path,
            "status": str(self.status),
            "body_bytes_sent": "100",
            "request_time": f"{self.ms / 1000:.3f}",
            "upstream_addr": "10.1.0.1:80, 10.1.0.2:80",
            "http_user_agent": "tests",
            "request_id": "abc",
        }
        return json.dumps(record).encode() + b"\n"

    def combined(self) -> bytes:
        return (
            f"10.0.0.7 - - [{at(self.minute):%d/%b/%Y:%H:%M:%S} +0000] "
            f'"GET {self.path} HTTP/1.1" {self.status} 100 "-" "tests"\n'
        ).encode()


def lines(minutes: Iterable[float], **values: Any) -> bytes:
    return b"".join(Line(minute, **values).json() for minute in minutes)


def settings(folder: Path, *, keep: str = "all", exemplars: int = 5, **source: Any) -> Settings:
    return Settings.model_validate(
        {
            "request_logs": {
                "keep": keep,
                "exemplars": exemplars,
                "sources": [
                    {
                        "name": "gateway",
                        "paths": [f"{folder}/access.log*"],
                        "format": "nginx_json",
                        **source,
                    }
                ],
            }
        }
    )


def collect(
    store: Store, configured: Settings, first: float, stop: float, now: datetime = NOW
) -> CollectionReport:
    return run_collector("request_logs", window(first, stop), store, now=now, settings=configured)


def covered(store: Store, first: int, stop: int) -> list[bool]:
    within = window(first, stop)
    with store.read() as connection:
        found = covered_minutes(connection, "request_logs", within.first_minute, within.stop_minute)
    return [bool(minute) for minute in found]


def requests_by_minute(store: Store) -> dict[int, int]:
    """Requests by minute after T0, over all series and files."""
    start = window(0, 1).first_minute
    counts: dict[int, int] = {}
    with store.read() as connection:
        for row in connection.execute(select(RequestMinute.minute, RequestMinute.requests)):
            counts[row.minute - start] = counts.get(row.minute - start, 0) + row.requests
    return counts


def contents(store: Store) -> dict[str, list[dict[str, Any]]]:
    """All rows of requests, with labels in place of ids that depend on who came first."""
    with store.read() as connection:
        raw = pd.DataFrame(connection.execute(select(*RequestLog.__table__.c)).mappings())
        counts = pd.DataFrame(
            connection.execute(
                select(Series.fingerprint, *RequestMinute.__table__.c).join(
                    Series, Series.id == RequestMinute.series_id
                )
            ).mappings()
        )
    if not counts.empty:
        counts = counts.drop(columns="series_id").sort_values(["minute", "fingerprint", "file_id"])
    if not raw.empty:
        raw = raw.sort_values(["occurred_at", "file_id", "byte_offset"])
        # None, which equals itself, as NaN doesn't
        raw = raw.astype(object).where(raw.notna(), None)
    return {"raw": raw.to_dict("records"), "counts": counts.to_dict("records")}
