"""A window is covered where the files prove what was logged, and nowhere else."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.collectors.request_logs.birth import born_at
from include.collectors.request_logs.coverage import Extent, held_by
from include.collectors.request_logs.files import open_files
from tests.collectors.request_logs import gateway_log as log
from userdb.store import Store


def test_a_quiet_log_covers_zero(store: Store, tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(log.lines([-300]))
    report = log.collect(store, log.settings(tmp_path), 0, 5)
    assert (report.ok, report.rows) == (True, 0)
    assert log.covered(store, 0, 5) == [True] * 5


def test_an_empty_log_covers_since_it_was_last_written(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.touch()
    os.utime(path, (log.at(2.5).timestamp(),) * 2)
    report = log.collect(store, log.settings(tmp_path), 0, 5)
    assert [source.status for source in report.sources] == ["unavailable"]
    assert log.covered(store, 0, 5) == [False, False, False, True, True]


def test_what_was_rotated_away_is_not_covered(store: Store, tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(log.lines([2.5, 4]))
    (report,) = log.collect(store, log.settings(tmp_path), 0, 5).sources
    assert (report.status, report.rows) == ("unavailable", 2)
    assert report.message is not None
    assert "since 2026-01-31T10:03Z" in report.message
    assert log.covered(store, 0, 5) == [False, False, False, True, True]
    assert log.requests_by_minute(store) == {2: 1, 4: 1}


def test_what_was_rotated_away_is_never_replaced_whatever_has_changed_since(
    store: Store, tmp_path: Path
) -> None:
    old = tmp_path / "access.log.1"
    old.write_bytes(log.lines([-20, 1, 2]))
    (tmp_path / "access.log").write_bytes(log.lines([2.5, 4]))
    log.collect(store, log.settings(tmp_path), 0, 5)
    before = log.contents(store)
    old.unlink()
    # other routes, no raw rows, one route a minute
    changed = log.settings(
        tmp_path,
        keep="none",
        exemplars=0,
        route={"rules": [{"prefix": "/", "name": "all"}], "max_routes": 1},
    )
    assert log.collect(store, changed, 0, 5).sources[0].status == "ok"
    after = log.contents(store)
    gone = before["raw"][0]["file_id"]
    for rows in ("raw", "counts"):
        kept = [row for row in before[rows] if row["file_id"] == gone]
        assert [row for row in after[rows] if row["file_id"] == gone] == kept
        assert kept
    assert {row["file_id"] for row in after["raw"]} == {gone}
    assert log.requests_by_minute(store) == {1: 1, 2: 2, 4: 1}
    # what was never collected of it stays unknown
    assert log.collect(store, changed, -5, 0).sources[0].status == "unavailable"
    assert log.covered(store, -5, 5) == [False] * 5 + [True] * 5


def test_a_log_just_rotated_needs_its_predecessor(store: Store, tmp_path: Path) -> None:
    (tmp_path / "access.log.1").write_bytes(log.lines([-20, 1]))
    (tmp_path / "access.log").touch()
    assert log.collect(store, log.settings(tmp_path), 0, 5).ok
    (tmp_path / "access.log.1").unlink()
    report = log.collect(store, log.settings(tmp_path), 5, 10)
    assert [source.status for source in report.sources] == ["unavailable"]
    assert log.covered(store, 0, 10) == [True] * 5 + [False] * 5


def test_what_was_collected_before_stays_covered(store: Store, tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(log.lines([-20, 1]))
    log.collect(store, log.settings(tmp_path), 0, 5)
    (tmp_path / "access.log").write_bytes(log.lines([7.5]))
    report = log.collect(store, log.settings(tmp_path), 0, 5)
    assert report.ok
    assert log.covered(store, 0, 5) == [True] * 5
    assert log.requests_by_minute(store) == {1: 1}
    assert not log.collect(store, log.settings(tmp_path), 0, 10).ok
    assert log.covered(store, 0, 10) == [True] * 5 + [False] * 3 + [True] * 2


def test_archives_alone_cover_no_later_time(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "access.log.1.gz"
    path.write_bytes(gzip.compress(log.lines([-20, 1])))
    os.utime(path, (log.at(2.5).timestamp(),) * 2)
    log.collect(store, log.settings(tmp_path), 0, 5)
    assert log.covered(store, 0, 5) == [True, True, True, False, False]


def test_every_log_of_a_source_must_hold_the_window(store: Store, tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(log.lines([-20, 1]))
    (tmp_path / "access.log-other").write_bytes(log.lines([2.5]))
    log.collect(store, log.settings(tmp_path), 0, 5)
    assert log.covered(store, 0, 5) == [False, False, False, True, True]


def test_a_new_log_holds_all_since_it_was_created(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"some line\n")
    with path.open("rb") as file:
        born = born_at(file.fileno())
    if born is not None:
        made = datetime.fromtimestamp(born, UTC)
        assert abs(made - datetime.fromtimestamp(path.stat().st_mtime, UTC)) < timedelta(minutes=1)
    with open_files(log.settings(tmp_path).request_logs.sources[0]) as found:
        (file,) = found.files
        file.born = 90.0
        assert held_by([Extent(file, 90.0 + 600)]).first == 2
        # created long before its first line: it may have been emptied since
        assert held_by([Extent(file, 90.0 + 86400)]).first == 1442
        file.born = None
        assert held_by([Extent(file, 90.0 + 600)]).first == 12
