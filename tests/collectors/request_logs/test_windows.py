"""Windows may be collected twice, overlapping, and in any order: the rows are the same."""

from __future__ import annotations

import gzip
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event

from include.collectors.request_logs import spans
from tests.collectors.request_logs import gateway_log as log
from userdb.models import Dirty, PolicyState
from userdb.retention import purge
from userdb.store import Store, open_store


def _write_hour(folder: Path) -> dict[int, int]:
    """An hour in three files, the oldest gzipped; times a bit out of order. Requests by minute."""
    source = random.Random(7)
    expected: dict[int, int] = {}
    for number, name in ((0, "access.log.2.gz"), (20, "access.log.1"), (40, "access.log")):
        minutes = [number + source.random() * 20 for _ in range(199)]
        # a log is written when requests end: neighbours change places
        minutes.sort(key=lambda minute: minute + source.random() / 2)
        minutes.insert(0, float(number))
        data = b"".join(
            log.Line(
                minute,
                status=source.choice([200, 200, 200, 404, 401, 504, 500]),
                path=source.choice(["/api/items/17", "/login", "/files/a/b"]),
                ms=source.choice([1.0, 40.0, 70000.0]),
            ).json()
            for minute in minutes
        )
        for minute in minutes:
            expected[int(minute)] = expected.get(int(minute), 0) + 1
        content = gzip.compress(data, mtime=0) if name.endswith(".gz") else data
        (folder / name).write_bytes(content)
    return expected


def test_a_window_collected_again_writes_nothing(store: Store, tmp_path: Path) -> None:
    expected = _write_hour(tmp_path)
    with store.engine.begin() as connection:
        connection.execute(
            PolicyState.__table__.insert(),  # type: ignore[attr-defined]
            [{"policy": "p", "family": "request"}],
        )
    log.collect(store, log.settings(tmp_path), 0, 60)
    first = log.contents(store)
    assert log.requests_by_minute(store) == expected
    assert len(first["raw"]) == 600
    with store.engine.begin() as connection:
        assert connection.execute(Dirty.__table__.delete()).rowcount > 0  # type: ignore[attr-defined]

    report = log.collect(store, log.settings(tmp_path), 0, 60)

    assert report.ok
    assert (report.rows, report.late) == (600, 0)
    assert log.contents(store) == first
    with store.read() as connection:
        assert connection.execute(Dirty.__table__.select()).all() == []  # type: ignore[attr-defined]


def test_five_minute_windows_leave_what_one_long_window_leaves(
    store: Store, tmp_path: Path
) -> None:
    expected = _write_hour(tmp_path)
    starts = list(range(0, 60, 5))
    random.Random(3).shuffle(starts)
    for start in starts:
        log.collect(store, log.settings(tmp_path), start, start + 5)
    assert log.requests_by_minute(store) == expected
    in_parts = log.contents(store)
    assert log.covered(store, 0, 60) == [True] * 60
    log.collect(store, log.settings(tmp_path), 0, 60)
    assert log.contents(store) == in_parts


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hour")
    _write_hour(folder)
    return folder


@pytest.fixture(scope="module")
def in_one_go(
    hour: Path, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """What is stored of the hour that one collection reads."""
    path = tmp_path_factory.mktemp("once") / "userdb.sqlite"
    shutil.copyfile(sqlite_template, path)
    store = open_store(f"sqlite:///{path}")
    log.collect(store, log.settings(hour), 0, 60)
    found = _without_ids(log.contents(store))
    store.close()
    return found


@settings(
    max_examples=settings().max_examples // 12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    windows=st.lists(
        st.tuples(st.integers(-5, 59), st.integers(1, 25)).map(
            lambda pair: (pair[0], min(sum(pair), 60))
        ),
        max_size=3,
    )
)
def test_any_windows_then_all_is_all(
    windows: list[tuple[int, int]],
    hour: Path,
    in_one_go: list[str],
    sqlite_template: Path,
    tmp_path: Path,
) -> None:
    """Whatever was collected before, in whatever order, the rows are those of one collection."""
    path = tmp_path / "some.sqlite"
    for old in tmp_path.glob("some.sqlite*"):
        old.unlink()
    shutil.copyfile(sqlite_template, path)
    store = open_store(f"sqlite:///{path}")
    for first, stop in windows:
        log.collect(store, log.settings(hour), first, stop)
    # to the end of the tiling by which all minutes are collected
    for first in (30, 0):
        log.collect(store, log.settings(hour), first, first + 30)
    # ids of files come in the order of their being seen, which may differ
    assert _without_ids(log.contents(store)) == in_one_go
    store.close()


@pytest.mark.parametrize(("counted", "minutes"), [(1, 1440), (50_000, 1), (25, 7), (1000, 60)])
def test_spans_of_a_long_window_are_all_of_it(
    counted: int,
    minutes: int,
    hour: Path,
    in_one_go: list[str],
    sqlite_store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spans, "_COUNTED", counted)
    monkeypatch.setattr(spans, "_MINUTES", minutes)
    # before, so that there is something to replace, and minutes that are the same
    log.collect(sqlite_store, log.settings(hour, keep="none"), 10, 31)
    report = log.collect(sqlite_store, log.settings(hour), 0, 60)
    assert (report.rows, report.late) == (600, 0)
    assert _without_ids(log.contents(sqlite_store)) == in_one_go


def _without_ids(rows: dict[str, list[dict[str, object]]]) -> list[str]:
    return sorted(
        str({name: value for name, value in row.items() if name != "file_id"})
        for kind in rows.values()
        for row in kind
    )


def test_lines_after_the_window_belong_to_later_windows(store: Store, tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(log.lines([-1, 0, 4.999, 5, 6]))
    log.collect(store, log.settings(tmp_path), 0, 5)
    assert log.requests_by_minute(store) == {-1: 1, 0: 1, 4: 1}


def test_late_lines_are_taken_in_and_counted(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(log.lines([-20, 1, 2, 3]))
    log.collect(store, log.settings(tmp_path), 0, 5)
    with path.open("ab") as file:
        file.write(log.lines([4.5, 6, 7]))
    report = log.collect(store, log.settings(tmp_path), 5, 10)
    assert (report.rows, report.late) == (2, 1)
    assert log.requests_by_minute(store) == {1: 1, 2: 1, 3: 1, 4: 1, 6: 1, 7: 1}
    # later than lateness allows for: it was not waited for, and is found by its own window alone
    with path.open("ab") as file:
        file.write(log.lines([2.5, 21]))
    assert log.collect(store, log.settings(tmp_path), 20, 25).late == 0
    assert log.requests_by_minute(store)[2] == 1
    log.collect(store, log.settings(tmp_path), 0, 5)
    assert log.requests_by_minute(store)[2] == 2


def test_changed_routes_replace_the_series_of_the_window(store: Store, tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(log.lines([-1, 0, 1]))
    log.collect(store, log.settings(tmp_path), 0, 5)
    named = log.settings(tmp_path, route={"rules": [{"prefix": "/api", "name": "api"}]})
    log.collect(store, named, 0, 5)
    assert log.requests_by_minute(store) == {-1: 1, 0: 1, 1: 1}
    assert {row["route"] for row in log.contents(store)["raw"]} == {"api"}


def test_what_is_counted(store: Store, tmp_path: Path) -> None:
    statuses = [200, 301, 101, 400, 404, 401, 403, 499, 408, 504, 500, 502, 503, 0]
    (tmp_path / "access.log").write_bytes(
        b"".join(log.Line(1, status=status, ms=status).json() for status in statuses)
        + log.lines([1], ms=61000)
    )
    log.collect(store, log.settings(tmp_path, service="shop"), 0, 5)
    (row,) = log.contents(store)["counts"]
    counted = {name: row[name] for name in ("ok", "client_error", "auth_failure", "timeout")}
    assert counted == {"ok": 4, "client_error": 3, "auth_failure": 2, "timeout": 3}
    assert (row["requests"], row["server_error"], row["bytes_sent"]) == (15, 3, 1500)
    assert row["latency_sum_ms"] == sum(statuses) + 61000
    assert row["latency_max_ms"] == 61000
    assert (row["le_5"], row["le_100"], row["le_250"], row["le_500"]) == (1, 0, 2, 8)
    assert (row["le_1000"], row["le_60000"], row["le_inf"]) == (3, 0, 1)
    reasons = {row["status"]: row["outcome_reason"] for row in log.contents(store)["raw"]}
    assert reasons[504] == "status=504"


def test_a_minute_with_more_rows_than_a_transaction_may_hold(
    sqlite_store: Store, tmp_path: Path
) -> None:
    (tmp_path / "access.log").write_bytes(
        log.lines([0]) + log.lines([1 + number / 25_000 for number in range(25_000)])
    )
    held = _largest_transaction(sqlite_store)
    log.collect(sqlite_store, log.settings(tmp_path), 0, 5)
    assert log.requests_by_minute(sqlite_store) == {0: 1, 1: 25_000}
    assert len(log.contents(sqlite_store)["raw"]) == 25_001
    assert max(held) <= 20_000
    # all of it is written once more, and deleted before
    log.collect(
        sqlite_store, log.settings(tmp_path, service="other", route={"template": False}), 0, 5
    )
    assert len(log.contents(sqlite_store)["raw"]) == 25_001
    assert {row["service"] for row in log.contents(sqlite_store)["raw"]} == {"other"}
    assert max(held) <= 20_000


def _largest_transaction(store: Store) -> list[int]:
    """A list that gets the number of rows changed by each transaction."""
    sizes: list[int] = []
    before = [0]

    def changes(connection: Connection) -> int:
        raw = connection.connection.driver_connection
        return int(raw.total_changes)  # type: ignore[union-attr]

    @event.listens_for(store.engine, "begin")
    def _begin(connection: Connection) -> None:
        before[0] = changes(connection)

    @event.listens_for(store.engine, "commit")
    def _commit(connection: Connection) -> None:
        sizes.append(changes(connection) - before[0])

    return sizes


def test_what_was_purged_is_not_read_again_though_the_log_still_holds_it(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "access.log").write_bytes(log.lines(range(20)))
    log.collect(store, log.settings(tmp_path), 0, 20)
    purge(store, before=log.at(10), tables=["request_minute", "request_log"])
    # the lateness of ten minutes, and a window itself, reach back past the floor
    for first in (10, 12, 5):
        log.collect(store, log.settings(tmp_path), first, 20)
        assert log.requests_by_minute(store) == dict.fromkeys(range(10, 20), 1)
        assert min(row["occurred_at"] for row in log.contents(store)["raw"]) >= log.at(10)
    report = log.collect(store, log.settings(tmp_path), 0, 10)
    assert [one.status for one in report.sources] == ["unavailable"]
    assert log.requests_by_minute(store) == dict.fromkeys(range(10, 20), 1)
