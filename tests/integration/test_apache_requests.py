"""What a real Apache httpd logged is what was sent to it, request for request."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.gateway_requests import (
    Request,
    as_sent,
    collect_log,
    outcomes_of,
    outcomes_of_minutes,
    send_requests,
    wait_for_lines,
)
from tests.servers.apache import OWN_FORMAT, run_apache
from tests.servers.upstream import Gateway
from userdb.store import Store

pytestmark = pytest.mark.apache

_LOGS: dict[str, tuple[str, dict[str, Any]]] = {
    "apache_common": ("common.log", {}),
    "apache_combined": ("combined.log", {}),
    "apache_log_format": ("own.log", {"log_format": f'LogFormat "{OWN_FORMAT}" own'}),
}


@pytest.fixture(scope="module")
def apache() -> Iterator[Gateway]:
    with run_apache() as server:
        yield server


@pytest.fixture(scope="module")
def sent(apache: Gateway) -> Counter[Request]:
    requests = send_requests(apache)
    for name, _ in _LOGS.values():
        wait_for_lines(apache.folder / name, sum(requests.values()))
    wait_for_lines(apache.folder / "json.log", sum(requests.values()))
    return requests


@pytest.mark.parametrize("log_format", _LOGS)
def test_every_request_is_a_row_that_the_second_log_confirms(
    sqlite_store: Store, apache: Gateway, sent: Counter[Request], log_format: str
) -> None:
    name, options = _LOGS[log_format]
    report, rows = collect_log(sqlite_store, apache.folder / name, log_format, options=options)
    assert (report.rows, report.rejected) == (sum(sent.values()), 0)
    assert as_sent(rows) == sent
    outcomes = Counter(row.outcome for row in rows)
    # Apache answers 502 where its upstream takes too long
    assert outcomes == outcomes_of(sent)
    assert outcomes_of_minutes(sqlite_store, name) == outcomes
    # the garbage's request line isn't JSON as Apache escapes it
    said = [
        json.loads(line)
        for line in (apache.folder / "json.log").read_bytes().splitlines()
        if b"\\x" not in line
    ]
    told = [row for row in rows if row.path is not None]
    assert Counter(
        (row.occurred_at.replace(microsecond=0), row.client, row.user, row.status) for row in told
    ) == Counter(
        (
            datetime.fromtimestamp(one["us"] // 1_000_000, UTC),
            one["client"],
            None if one["user"] == "-" else one["user"],
            one["status"],
        )
        for one in said
    )
    if log_format == "apache_log_format":
        assert sorted((row.bytes_sent, row.duration_ms) for row in told) == sorted(
            (one["bytes"], one["took_us"] / 1000) for one in said
        )
    else:
        assert {row.duration_ms for row in rows} == {None}


def test_quotes_in_headers_do_not_end_them(
    sqlite_store: Store, apache: Gateway, sent: Counter[Request]
) -> None:
    _, rows = collect_log(sqlite_store, apache.folder / "combined.log", "apache_combined")
    (odd,) = [row for row in rows if row.path == "/caf%C3%A9/%22quoted%22/200"]
    assert odd.user_agent == 'odd \\"agent\\" \\\\ 1'
    (absolute,) = [row for row in rows if row.path == "/absolute/200"]
    assert absolute.host == "other.example.org"
