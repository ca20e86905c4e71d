"""Of each minute some raw requests are kept whatever ``keep`` says: always the same ones."""

from __future__ import annotations

import gzip
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from include.collectors.request_logs.parse import Parser
from include.collectors.request_logs.settings import LogSource, RequestLogsSettings
from tests.collectors.request_logs import gateway_log as log
from tests.collectors.request_logs.parsing import parse
from userdb.store import Store

_SOURCE = LogSource(name="gateway", paths=["x"], format="nginx_json")


def _parser(keep: str, exemplars: int) -> Parser:
    return Parser(
        _SOURCE, RequestLogsSettings.model_validate({"keep": keep, "exemplars": exemplars})
    )


def _expected(requests: list[log.Line], number: int) -> set[int]:
    """Indexes of the exemplars, the plain way: requests stand in the order of the file."""
    minutes = defaultdict(list)
    for index, one in enumerate(requests):
        minutes[int(one.minute)].append(index)
    chosen: set[int] = set()
    for indexes in minutes.values():
        chosen |= set(sorted(indexes, key=lambda i: (-requests[i].ms, i))[:number])
        outcomes = defaultdict(list)
        seen: dict[tuple[str, str], int] = defaultdict(int)
        for i in indexes:
            outcome = {200: "ok", 404: "client_error", 504: "timeout"}[requests[i].status]
            seen[outcome, requests[i].path] += 1
            outcomes[outcome].append((seen[outcome, requests[i].path], i))
        for ranked in outcomes.values():
            chosen |= {i for _, i in sorted(ranked)[:number]}
    return chosen


_LINES = st.lists(
    st.builds(
        log.Line,
        minute=st.sampled_from([0, 0.5, 1]),
        status=st.sampled_from([200, 200, 404, 504]),
        path=st.sampled_from(["/a", "/b", "/c"]),
        ms=st.sampled_from([1.0, 5.0, 11_000.0]),
    ),
    max_size=16,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests=_LINES, block=st.sampled_from([900, 1 << 20]))
@example(requests=[log.Line(0)] * 5, block=900)
def test_they_are_the_slowest_and_some_of_each_outcome_in_blocks_of_any_size(
    requests: list[log.Line], block: int, parsers: dict[str, Parser]
) -> None:
    data, offsets = b"", []
    for one in requests:
        offsets.append(len(data))
        data += one.json()
    chosen = _expected(requests, 2)
    unasked = {i for i, one in enumerate(requests) if one.status != 200 or one.ms >= 10_000}
    for keep, expected in (("none", chosen), ("exceptional", chosen | unasked)):
        _, rows = parse(parsers[keep], data, block)
        assert [row["byte_offset"] for row in rows] == [offsets[i] for i in sorted(expected)]


@pytest.fixture(scope="module")
def parsers() -> Any:
    with _parser("none", 2) as none, _parser("exceptional", 2) as exceptional:
        yield {"none": none, "exceptional": exceptional}


@pytest.mark.parametrize(
    ("keep", "exemplars", "kept"),
    [("all", 0, 15), ("exceptional", 0, 3), ("none", 0, 0), ("exceptional", 1, 6), ("none", 1, 6)],
)
def test_keep_says_what_is_stored_beside_them_and_changes_no_count(
    store: Store, tmp_path: Path, keep: str, exemplars: int, kept: int
) -> None:
    (tmp_path / "access.log").write_bytes(
        log.lines([0, *(1 + number / 20 for number in range(10)), 2])
        + log.lines([1.9], status=404)
        + log.lines([1.91], status=504)
        + log.lines([1.92], ms=10_000)
    )
    configured = log.settings(tmp_path, keep=keep, exemplars=exemplars)
    report = log.collect(store, configured, 0, 5)
    found = log.contents(store)
    # the only requests of minutes 0 and 2; of minute 1 the slowest, and one of each outcome
    assert len(found["raw"]) == kept
    assert report.rows == 15
    assert log.requests_by_minute(store) == {0: 1, 1: 13, 2: 1}
    assert log.collect(store, configured, 0, 5).late == 0
    assert log.contents(store) == found


def test_windows_rotation_and_late_lines_leave_the_same_ones(store: Store, tmp_path: Path) -> None:
    """Live windows over a log that grows and is rotated, beside one look at what it became."""
    path = tmp_path / "access.log"
    configured = log.settings(tmp_path, keep="none", exemplars=2)
    for start in range(0, 20, 5):
        with path.open("ab") as file:
            # a slow one and a failed one come late: they take the place of others
            late = log.lines([start - 2], ms=900.0 + start) + log.lines([start - 3], status=504)
            times = [start + number / 20 for number in range(100)]
            file.write((late if start else b"") + log.lines(times))
        log.collect(store, configured, start, start + 5)
        if start == 10:
            path.rename(tmp_path / "access.log.1")
    old = tmp_path / "access.log.1"
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    live = log.contents(store)["raw"]
    log.collect(store, configured, 0, 20)
    assert log.contents(store)["raw"] == live
    assert {row["duration_ms"] for row in live} == {12.0, 905.0, 910.0, 915.0}
    assert sum(row["outcome"] == "timeout" for row in live) == 3
    # 2 slowest or first ones of 20 minutes, and what came late in 6
    assert len(live) <= 20 * 2 + 3 * 2 + 3 * 2
    assert sum(log.requests_by_minute(store).values()) == 406
