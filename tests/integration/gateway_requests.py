"""The same requests for every gateway, and what its log is collected to."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitoring.window import Window
from sqlalchemy import func, select

from include.collectors.config import Settings
from include.collectors.run import run_collector
from tests.servers.upstream import Gateway
from userdb.ledger import CollectionReport
from userdb.models import RequestLog, RequestMinute, Series
from userdb.models.requests import OUTCOMES
from userdb.store import Store

#: Method and path, as they are stored, and the status of the answer.
Request = tuple[str | None, str | None, int]

BASIC = {
    "wrong": {"Authorization": "Basic b3BlcmF0b3I6bm8="},
    "right": {"Authorization": "Basic b3BlcmF0b3I6ZGVtbw=="},
}
#: Paths, and headers that are sent with them.
_ASKED: list[tuple[str, dict[str, str]]] = [
    *((f"/items/{number}/200?token=secret", {}) for number in range(30)),
    *((f"/answer/{status}", {}) for status in (201, 302, 404, 401, 403, 500, 502, 503)),
    ("/forbidden/1", {}),
    ("/admin/200", {}),
    ("/admin/200", BASIC["wrong"]),
    ("/admin/200", BASIC["right"]),
    ("/down/1", {}),
    ("/slow/200", {}),
    ("/caf%C3%A9/%22quoted%22/200", {"User-Agent": 'odd "agent" \\ 1'}),
]

#: What is sent at the same time: each status by each method, so many times.
_LOAD = [
    (method, f"/load/{number}/{status}")
    for method in ("GET", "POST", "PUT", "DELETE")
    for status in (200, 404, 401, 500, 503)
    for number in range(4)
]


def send_requests(gateway: Gateway) -> Counter[Request]:
    """Send some one after the other, then many at once; how often each was answered how."""
    sent: Counter[Request] = Counter()
    for path, headers in _ASKED:
        sent["GET", path.partition("?")[0], gateway.get(path, **headers)] += 1
    answer = gateway.send_raw(b"\x16\x03\x01\x02\x00 not HTTP\r\n\r\n")
    sent[None, None, int(answer.split()[1])] += 1
    answer = gateway.send_raw(
        b"GET http://other.example.org/absolute/200 HTTP/1.1\r\n"
        b"Host: other.example.org\r\nConnection: close\r\n\r\n"
    )
    sent["GET", "/absolute/200", int(answer.split()[1])] += 1
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda asked: gateway.ask(*asked), _LOAD)
        sent.update(
            (method, path, said) for (method, path), said in zip(_LOAD, answers, strict=True)
        )
    return sent


def as_sent(rows: list[Any]) -> Counter[Request]:
    """Rows of request_log, as what was sent; who sends no HTTP has no method."""
    return Counter((None if row.path is None else row.method, row.path, row.status) for row in rows)


def outcomes_of(sent: Counter[Request]) -> Counter[str]:
    """Outcomes by the status of the answers: a busy machine may let one more time out."""
    by_status = {401: "auth_failure", 403: "auth_failure", 504: "timeout"}
    found: Counter[str] = Counter()
    for (_, _, status), times in sent.items():
        other = "ok" if status < 400 else "client_error" if status < 500 else "server_error"
        found[by_status.get(status, other)] += times
    return found


def outcomes_of_minutes(store: Store, source: str) -> dict[str, int]:
    """Requests of a source by outcome, as its minutes count them."""
    columns = [func.sum(getattr(RequestMinute, name)).label(name) for name in OUTCOMES]
    with store.read() as connection:
        series = [
            row.id
            for row in connection.execute(select(Series.id, Series.labels))
            if row.labels.get("source") == source
        ]
        found = connection.execute(select(*columns).where(RequestMinute.series_id.in_(series)))
        return {name: int(number) for name, number in found.mappings().one().items() if number}


def wait_for_lines(path: Path, number: int) -> None:
    wait_for(lambda: path.exists() and path.read_bytes().count(b"\n") >= number)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the gateway did not write its log in 20 s"
        time.sleep(0.05)


def collect_log(
    store: Store, path: Path, log_format: str, **source: Any
) -> tuple[CollectionReport, list[Any]]:
    """Collect the last ten minutes of a log; the report, and the rows of request_log."""
    settings = Settings.model_validate(
        {
            "request_logs": {
                "sources": [
                    {"name": path.name, "paths": [str(path)], "format": log_format, **source}
                ]
            }
        }
    )
    # a test's own time: the collector is told, and reads no clock
    end = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    window = Window(end - timedelta(minutes=10), end)
    report = run_collector("request_logs", window, store, now=end, settings=settings)
    with store.read() as connection:
        rows = connection.execute(
            select(*RequestLog.__table__.c)
            .where(RequestLog.source == path.name)
            .order_by(RequestLog.byte_offset)
        ).all()
    return report, list(rows)
