"""Of a source and minute so many routes are counted each; files and windows don't decide which."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from include.collectors.request_logs.route_cap import OTHER, Folded, fold_routes
from tests.collectors.request_logs import gateway_log as log
from userdb.models import Collection, RequestMinute, Series
from userdb.store import Store

#: A request: its minute and its route.
Requests = list[tuple[int, str | None]]
#: Requests by minute and route.
Counts = Counter[tuple[int, str | None]]

_LIMIT = 3
_REQUESTS = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.sampled_from([*"abcdef", OTHER, None])), max_size=40
)


def _expected(requests: Requests, limit: int) -> Counts:
    """The plain way."""
    found: Counts = Counter(requests)
    routes = defaultdict(list)
    for (minute, route), count in found.items():
        if route not in (None, OTHER):
            routes[minute].append((-count, route))
    for minute, ranked in routes.items():
        for _, route in sorted(ranked)[limit:]:
            found[minute, OTHER] += found.pop((minute, route))
    return found


class _Files:
    """Files' counts in DuckDB, as parsing leaves them, of several blocks each."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()

    def fill(self, files: list[Requests]) -> list[str]:
        names = []
        for number, requests in enumerate(files):
            names.append(f"part_{number}")
            self.connection.execute(
                f"CREATE OR REPLACE TABLE part_{number} "
                "(minute BIGINT, service VARCHAR, route VARCHAR, requests BIGINT)"
            )
            rows = [(minute, f"s{at % 2}", route, 1) for at, (minute, route) in enumerate(requests)]
            if rows:
                self.connection.executemany(f"INSERT INTO part_{number} VALUES (?, ?, ?, ?)", rows)
        return names

    def counts(self, name: str) -> Counts:
        rows = self.connection.execute(
            f"SELECT minute, route, sum(requests)::BIGINT FROM {name} GROUP BY ALL"
        ).fetchall()
        return Counter({(minute, route): count for minute, route, count in rows})

    def fold(self, files: list[Requests], held: Counts, limit: int = _LIMIT) -> list[Counts]:
        names = self.fill(files)
        kept = [key for key in held if key[1] not in (None, OTHER)]
        table = pa.table(
            {
                "minute": pa.array([minute for minute, _ in kept], pa.int64()),
                "route": pa.array([route for _, route in kept], pa.string()),
            }
        )
        fold_routes(self.connection, names, table, limit=limit, since=0)
        return [self.counts(name) for name in names]


@pytest.fixture(scope="module")
def files() -> Iterator[_Files]:
    made = _Files()
    yield made
    made.connection.close()


@settings(max_examples=60, deadline=None)
@given(requests=_REQUESTS, cuts=st.lists(st.integers(0, 40), max_size=2))
@example(requests=[(0, route) for route in "aabbccdabcd"], cuts=[7])
def test_it_does_not_matter_which_file_says_what_nor_which_are_there_no_more(
    requests: Requests, cuts: list[int], files: _Files
) -> None:
    bounds = [0, *sorted(min(cut, len(requests)) for cut in cuts), len(requests)]
    parts = [requests[low:high] for low, high in pairwise(bounds)]
    folded = files.fold(parts, Counter())
    assert sum(folded, Counter()) == _expected(requests, _LIMIT)
    # the first is rotated away: what is stored of it is what was, and changes none of the others
    assert files.fold(parts[1:], folded[0]) == folded[1:]
    for minute, route in sum(folded, Counter()):
        assert minute in (0, 1)
        assert route is None or len(route) == 1 or route == OTHER


@settings(max_examples=40, deadline=None)
@given(gone=_REQUESTS, requests=_REQUESTS)
def test_the_cap_holds_whatever_files_that_are_gone_have_said(
    gone: Requests, requests: Requests, files: _Files
) -> None:
    (held,) = files.fold([gone], Counter())
    (found,) = files.fold([requests], held)
    for minute in (0, 1):
        routes = {route for at, route in (*held, *found) if at == minute and route is not None}
        assert len(routes - {OTHER}) <= _LIMIT
    assert found.total() == len(requests)


def _by_route(store: Store) -> Counts:
    start = log.window(0, 1).first_minute
    found: Counts = Counter()
    with store.read() as connection:
        for row in connection.execute(
            select(RequestMinute.minute, RequestMinute.requests, Series.labels).join(
                Series, Series.id == RequestMinute.series_id
            )
        ):
            found[row.minute - start, row.labels.get("route")] += row.requests
    return found


def test_a_scan_is_one_route_and_the_collection_says_so(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    configured = log.settings(tmp_path, route={"max_routes": 2})
    scan = b"".join(log.lines([1.1], path=f"/scan-{letter}") for letter in "abcdef")
    path.write_bytes(
        log.lines([0, 0.5], path="/x")
        + log.lines([1, 1.01], path="/x")
        + scan
        + log.lines([1.2, 1.3], path="/w")
    )
    report = log.collect(store, configured, 0, 5)
    expected = Counter({(0, "/x"): 2, (1, "/x"): 2, (1, "/w"): 2, (1, OTHER): 6})
    assert _by_route(store) == expected
    message = report.sources[0].message
    assert message is not None
    assert "1 minutes have more routes than 2: 6 requests of the others" in message
    with store.read() as connection:
        assert connection.scalars(select(Collection.message)).all() == [message]
    # raw rows keep the route that they have
    assert {row["route"] for row in log.contents(store)["raw"]} >= {"/scan-a", "/scan-f"}


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_live_windows_over_a_rotation_leave_what_one_look_leaves(
    data: st.DataObject, sqlite_store: Store, tmp_path: Path
) -> None:
    routes = data.draw(st.lists(st.sampled_from("abcde"), min_size=16, max_size=16))
    cut = data.draw(st.integers(1, 15))
    folder = tmp_path / f"{cut}-{''.join(routes)}"
    folder.mkdir(exist_ok=True)
    configured = log.settings(folder, route={"max_routes": 2}, name=folder.name)
    requests = [(number // 8, f"/{route}") for number, route in enumerate(routes)]
    texts = [
        log.lines([minute + number % 8 / 10], path=route)
        for number, (minute, route) in enumerate(requests)
    ]
    before = _by_route(sqlite_store)
    path = folder / "access.log"
    path.write_bytes(b"".join(texts[: cut // 2]) or texts[0])
    log.collect(sqlite_store, configured, 0, 1)
    path.write_bytes(b"".join(texts[:cut]))
    path.rename(folder / "access.log.1")
    path.write_bytes(b"".join(texts[cut:]))
    for first, stop in data.draw(st.permutations([(0, 1), (1, 2), (0, 2)])):
        log.collect(sqlite_store, configured, first, stop)
    found = _by_route(sqlite_store)
    found.subtract(before)
    assert +found == _expected(requests, 2)
    (folder / "access.log.1").unlink()
    log.collect(sqlite_store, configured, 0, 2)
    again: Any = _by_route(sqlite_store)
    again.subtract(before)
    assert +again == +found


def test_without_files_nothing_is_folded() -> None:
    with duckdb.connect() as connection:
        held = pa.table({"minute": pa.array([], pa.int64()), "route": pa.array([], pa.string())})
        assert fold_routes(connection, [], held, limit=1, since=0) == Folded(0, 0)
