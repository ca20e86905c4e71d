"""Real files: rotated, copied, truncated, compressed, broken, missing."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import select

from include.collectors.request_logs.files import open_files, stream_name
from tests.collectors.request_logs import gateway_log as log
from userdb.models import Collection, SourceFile
from userdb.store import Store


def _ids(store: Store) -> set[int]:
    return {row["file_id"] for row in log.contents(store)["counts"]}


def test_rotation_by_rename_and_compression_changes_nothing(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(log.lines(range(-20, 4)))
    log.collect(store, log.settings(tmp_path), 0, 5)
    before = log.contents(store)

    path.rename(tmp_path / "access.log.1")
    path.write_bytes(log.lines([5, 6]))
    log.collect(store, log.settings(tmp_path), 0, 5)
    assert log.contents(store) == before

    old = tmp_path / "access.log.1"
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    log.collect(store, log.settings(tmp_path), 0, 5)
    assert log.contents(store) == before

    log.collect(store, log.settings(tmp_path), 5, 10)
    assert log.requests_by_minute(store) == dict.fromkeys([*range(-10, 4), 5, 6], 1)
    assert len(_ids(store)) == 2


def test_a_log_under_two_names_is_read_once(store: Store, tmp_path: Path) -> None:
    data = log.lines(range(-5, 4))
    (tmp_path / "access.log.1").write_bytes(data)
    (tmp_path / "access.log.1.gz").write_bytes(gzip.compress(data))
    # being copied: not all of it is there yet, not even as much as a file is known by
    (tmp_path / "access.log.2").write_bytes(data[: len(log.Line(0).json()) * 2 + 5])
    # being compressed: gzip has only begun to write
    (tmp_path / "access.log.2.gz").write_bytes(gzip.compress(data)[:12])
    report = log.collect(store, log.settings(tmp_path), 0, 5)
    assert report.ok, report
    assert log.requests_by_minute(store) == dict.fromkeys(range(-5, 4), 1)
    assert len(_ids(store)) == 1


def test_copy_and_truncate(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(log.lines(range(-20, 4)))
    log.collect(store, log.settings(tmp_path), 0, 5)
    shutil.copy(path, tmp_path / "access.log.1")
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(log.lines([5, 6]))
    log.collect(store, log.settings(tmp_path), 5, 10)
    log.collect(store, log.settings(tmp_path), 0, 5)
    assert log.requests_by_minute(store) == dict.fromkeys([*range(-10, 4), 5, 6], 1)
    # one copy is lost: nothing stored is lost with it, and nothing is told of what it held
    (tmp_path / "access.log.1").unlink()
    log.collect(store, log.settings(tmp_path), 0, 10)
    assert log.requests_by_minute(store) == dict.fromkeys([*range(-10, 4), 5, 6], 1)


def test_a_young_file_stays_the_same_file(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(log.lines([0]))
    log.collect(store, log.settings(tmp_path), 0, 1)
    for minute in range(1, 8):
        with path.open("ab") as file:
            file.write(log.lines([minute]))
        log.collect(store, log.settings(tmp_path), minute, minute + 1)
    assert len(_ids(store)) == 1
    with store.read() as connection:
        (row,) = connection.execute(select(*SourceFile.__table__.c)).all()
    assert (row.prefix_length, row.size) == (1024, path.stat().st_size)


def test_a_half_written_line_is_taken_when_it_is_whole(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    line = log.lines([4])
    path.write_bytes(log.lines([-1, 3]) + line[:100])
    report = log.collect(store, log.settings(tmp_path), 0, 5)
    assert (report.rows, report.rejected) == (1, 0)
    with path.open("ab") as file:
        file.write(line[100:])
    report = log.collect(store, log.settings(tmp_path), 5, 10)
    assert (report.rows, report.late) == (0, 1)
    assert log.requests_by_minute(store) == {-1: 1, 3: 1, 4: 1}


def test_an_empty_first_line_is_no_file_yet(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    line = log.lines([1])
    path.write_bytes(line[:7])
    os.utime(path, (log.at(-2).timestamp(),) * 2)
    assert log.collect(store, log.settings(tmp_path), 0, 5).ok
    path.write_bytes(line)
    log.collect(store, log.settings(tmp_path), 0, 5)
    assert log.requests_by_minute(store) == {1: 1}


def test_broken_gzip_fails_its_source_and_keeps_the_others(store: Store, tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(log.lines([m / 1000]) for m in range(3000)))
    (tmp_path / "access.log.1.gz").write_bytes(whole)
    (tmp_path / "access.log").write_bytes(log.lines([3, 4]))
    assert log.collect(store, log.settings(tmp_path), 0, 5).ok
    before = log.contents(store)

    (tmp_path / "access.log.1.gz").write_bytes(whole[: len(whole) // 2])
    (report,) = log.collect(store, log.settings(tmp_path), 0, 5).sources
    assert report.status == "failed"
    assert report.message is not None
    assert f"{tmp_path / 'access.log.1.gz'} is broken gzip" in report.message
    assert "restore it" in report.message
    assert log.contents(store) == before
    with (tmp_path / "access.log").open("ab") as file:
        file.write(log.lines([4.5]))
    # the readable file is stored all the same, and the window is unknown
    log.collect(store, log.settings(tmp_path), 4, 6)
    assert log.requests_by_minute(store)[4] == 2
    assert log.covered(store, 5, 6) == [False]


def _zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def test_zstd_is_read_as_gzip_is(sqlite_store: Store, tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1.zst"
    data = b"".join(log.lines([m / 1000]) for m in range(3000))
    path.write_bytes(data)
    log.collect(sqlite_store, log.settings(tmp_path), 0, 5)
    before = log.contents(sqlite_store)
    old.write_bytes(_zstd(data))
    path.unlink()
    log.collect(sqlite_store, log.settings(tmp_path), 0, 5)
    assert log.contents(sqlite_store) == before
    for broken, why in [(_zstd(data)[:-9], "is broken zstd"), (data, "is not zstd")]:
        old.write_bytes(broken)
        (report,) = log.collect(sqlite_store, log.settings(tmp_path), 0, 5).sources
        assert report.status == "failed"
        assert f"{old} {why}" in (report.message or "")
        assert log.contents(sqlite_store) == before


def test_a_source_described_wrongly_keeps_no_other_from_being_read(
    sqlite_store: Store, tmp_path: Path
) -> None:
    (tmp_path / "access.log").write_bytes(log.lines(range(-20, 4)))
    right = log.settings(tmp_path)
    (good,) = right.request_logs.sources
    wrong = good.model_copy(update={"name": "other", "format": "mapped_json"})
    settings = right.model_copy(
        update={"request_logs": right.request_logs.model_copy(update={"sources": [wrong, good]})}
    )
    failed, read = log.collect(sqlite_store, settings, 0, 5).sources
    assert (failed.status, read.status, read.rows) == ("failed", "ok", 4)
    assert failed.message == (
        "request_logs source 'other': format mapped_json: options.fields: Field required"
    )


def test_old_broken_gzip_does_not_fail_today(store: Store, tmp_path: Path) -> None:
    old = tmp_path / "access.log.9.gz"
    old.write_bytes(b"\x1f\x8b rubbish")
    os.utime(old, (log.at(-3000).timestamp(),) * 2)
    (tmp_path / "access.log").write_bytes(log.lines([-30, 3]))
    assert log.collect(store, log.settings(tmp_path), 0, 5).ok


def test_a_file_that_lost_its_end_changes_nothing(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(log.lines(range(-20, 5)))
    log.collect(store, log.settings(tmp_path), 0, 5)
    before = log.contents(store)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    (report,) = log.collect(store, log.settings(tmp_path), 0, 5).sources
    assert report.status == "failed"
    assert report.message is not None
    assert "is shorter than when it was last read" in report.message
    assert log.contents(store) == before


@pytest.mark.parametrize("name", ["access.log", "access.log*"])
def test_a_missing_log(store: Store, tmp_path: Path, name: str) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(log.lines([-1, 0, 1]))
    configured = log.settings(tmp_path, paths=[f"{tmp_path}/{name}"])
    log.collect(store, configured, 0, 5)
    path.unlink()
    (report,) = log.collect(store, configured, 5, 10).sources
    assert report.status == "failed"
    assert report.message is not None
    assert "'gateway'" in report.message
    assert name in report.message
    assert "correct" in report.message
    assert log.requests_by_minute(store) == {-1: 1, 0: 1, 1: 1}
    assert log.covered(store, 0, 10) == [True] * 5 + [False] * 5
    with store.read() as connection:
        assert list(connection.scalars(select(Collection.status).order_by(Collection.id))) == [
            "ok",
            "failed",
        ]


def test_a_log_that_may_not_be_read() -> None:
    # not tmp_path: nobody may enter that
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = folder / "access.log"
        path.write_bytes(log.lines([0]))
        path.chmod(0)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)
        try:
            source = log.settings(folder).request_logs.sources[0]
            with open_files(source) as found:
                messages = [file.message for file in found.unreadable]
        finally:
            os.seteuid(was)
    assert messages == ["can't be read: Permission denied; let this user read it"]


def test_a_pipe_is_no_log(sqlite_store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "access.log")
    (report,) = log.collect(sqlite_store, log.settings(tmp_path), 0, 5).sources
    assert report.status == "failed"
    assert report.message is not None
    assert "is not a regular file" in report.message


def test_one_sources_failure_leaves_the_others(store: Store, tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(log.lines([-1, 1]))
    both = log.settings(tmp_path).model_dump(mode="json")
    missing = {**both["request_logs"]["sources"][0], "name": "gone", "paths": ["/no/such.log"]}
    both["request_logs"]["sources"].append(missing)
    report = log.collect(store, type(log.settings(tmp_path)).model_validate(both), 0, 5)
    assert [source.status for source in report.sources] == ["ok", "failed"]
    assert log.requests_by_minute(store) == {-1: 1, 1: 1}
    assert log.covered(store, 0, 5) == [False] * 5


@pytest.mark.parametrize(
    "name",
    [
        "access.log",
        "access.log.1",
        "access.log.12.gz",
        "access.log-20260131",
        "access.log-20260131.gz",
        "access.log-20260131-1769846400.gz",
        "access.log.2026-01-31",
        "access-2026-01-31.log",
    ],
)
def test_files_of_one_log(name: str) -> None:
    expected = "/logs/access-.log" if name == "access-2026-01-31.log" else "/logs/access.log"
    assert stream_name(Path("/logs") / name) == expected


def test_files_of_two_logs() -> None:
    assert stream_name(Path("/logs/a1.log")) != stream_name(Path("/logs/a2.log"))
