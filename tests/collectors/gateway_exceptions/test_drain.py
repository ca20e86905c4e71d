from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from include.collectors.gateway_exceptions import drain as draining
from include.collectors.gateway_exceptions.drain import drain, spool_folders
from include.reporting import SpoolTransport
from include.reporting.spool import _lock_current, encode_event
from tests.collectors.gateway_exceptions.counts import event, stored_ids
from userdb.events import EventRecord, StoredEvents
from userdb.store import Store


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_events_are_stored_once_and_files_deleted(store: Store, spool: Path) -> None:
    transport = SpoolTransport(spool)
    transport.send([event("a", service="仿真 🚨", detail={"n": 1}), event("b")])
    report = drain(spool, store)
    assert (report.source, report.status, report.rows, report.rejected) == (str(spool), "ok", 2, 0)
    assert names(spool) == []
    transport.send([event("b"), event("c")])
    report = drain(spool, store)
    assert (report.rows, report.message) == (1, "1 events were stored already")
    assert stored_ids(store) == ["a", "b", "c"]


def test_a_spool_that_was_never_needed_holds_nothing(store: Store, spool: Path) -> None:
    report = drain(spool, store)
    assert (report.status, report.rows) == ("ok", 0)
    assert not spool.exists()


def test_other_files_are_left_alone(store: Store, spool: Path) -> None:
    spool.mkdir()
    (spool / "notes.txt").write_text("x")
    drain(spool, store)
    assert names(spool) == ["notes.txt"]


def test_a_broken_line_is_counted_shown_and_kept(store: Store, spool: Path) -> None:
    spool.mkdir()
    torn = encode_event(event("torn"))[:40]
    lines = [encode_event(event("a")), b"\xff garbage\n", b"\n", encode_event(event("b")), torn]
    (spool / "h-1-20260301.jsonl").write_bytes(b"".join(lines))
    report = drain(spool, store)
    assert (report.status, report.rows, report.rejected) == ("ok", 2, 2)
    assert [sample.where.rpartition(":")[2] for sample in report.samples] == ["2", "5"]
    assert "is not JSON" in report.samples[0].why
    assert report.samples[0].text == "\\xff garbage"
    assert report.message is not None
    assert ".rejected" in report.message
    [kept] = spool.iterdir()
    assert kept.name.startswith("h-1-20260301.jsonl.")
    assert kept.name.endswith(".rejected")
    assert kept.read_bytes() == b"\xff garbage\n" + torn
    assert drain(spool, store).rejected == 0, "what was rejected is not read again"
    assert stored_ids(store) == ["a", "b"]


def test_a_last_line_without_newline_that_is_whole_is_taken(store: Store, spool: Path) -> None:
    spool.mkdir()
    (spool / "x.jsonl").write_bytes(encode_event(event("a")).rstrip(b"\n"))
    assert drain(spool, store).rows == 1


def test_a_line_beyond_all_bounds_is_rejected_without_being_read_at_once(
    store: Store, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "_MAX_LINE", 2000)
    spool.mkdir()
    long = b'"' + b"x" * 7000 + b'"\n'
    (spool / "x.jsonl").write_bytes(long + encode_event(event("a")))
    report = drain(spool, store)
    assert (report.rows, report.rejected) == (1, 1)
    [kept] = spool.iterdir()
    assert kept.read_bytes() == long


def test_an_event_that_userdb_refuses_holds_up_no_other(store: Store, spool: Path) -> None:
    # a rule of the database's own stands for whatever a server may refuse
    refuse(store, "bad")
    spool.mkdir()
    ids = [f"e{number}" for number in range(7)]
    marks = [*ids[:3], "bad", *ids[3:]]
    (spool / "x.jsonl").write_bytes(b"".join(encode_event(event(mark)) for mark in marks))
    try:
        report = drain(spool, store)
    finally:
        store.write(lambda c: c.execute(text("DROP TRIGGER refuse")))
    assert (report.rows, report.rejected) == (7, 1)
    assert "userdb refuses it" in report.samples[0].why
    assert sorted(stored_ids(store)) == ids


def refuse(store: Store, mark: str) -> None:
    action = (
        "SELECT RAISE(ABORT, 'refused')"
        if store.is_sqlite
        else "IF NEW.event_id = 'bad' THEN SIGNAL SQLSTATE '23000' "
        "SET MYSQL_ERRNO = 4025, MESSAGE_TEXT = 'refused'; END IF"
    )
    when = f"WHEN NEW.event_id = '{mark}'" if store.is_sqlite else ""
    statement = (
        f"CREATE TRIGGER refuse BEFORE INSERT ON monitor_event FOR EACH ROW {when} "
        f"BEGIN {action}; END"
    )
    store.write(lambda connection: connection.exec_driver_sql(statement))


def test_a_crash_between_commit_and_deletion_stores_nothing_twice(
    store: Store, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SpoolTransport(spool).send([event("a"), event("b")])
    (spool / "bad.jsonl").write_bytes(b"garbage\n")

    class Crash(BaseException):
        pass

    def crash(_self: Path) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", crash)
        for _ in range(3):  # each finds what the one before left
            with pytest.raises(Crash):
                drain(spool, store)
    assert any(name.endswith(".claimed") for name in names(spool))
    drain(spool, store)
    assert stored_ids(store) == ["a", "b"]
    [kept] = spool.iterdir()
    assert kept.read_bytes() == b"garbage\n"


def test_a_userdb_that_fails_leaves_the_events_in_the_spool(
    store: Store, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SpoolTransport(spool).send([event("a")])

    def fail(_connection: Connection, _events: Sequence[EventRecord]) -> StoredEvents:
        raise RuntimeError("gone")

    with monkeypatch.context() as patch:
        patch.setattr("userdb.events.store_events", fail)
        with pytest.raises(RuntimeError):
            drain(spool, store)
    assert drain(spool, store).rows == 1


def test_a_writer_that_opened_the_file_before_the_claim_loses_nothing(
    store: Store, spool: Path
) -> None:
    transport = SpoolTransport(spool)
    transport.send([event("a")])
    with transport.path().open("rb") as holder:
        # both the next writer and the collector meet a locked file
        fcntl.flock(holder, fcntl.LOCK_EX)
        collecting = threading.Thread(target=drain, args=(spool, store))
        collecting.start()
        while transport.path().exists():
            time.sleep(0.005)
        transport.send([event("b")])
        assert transport.path().exists(), "the claimed file is not written to any more"
    collecting.join()
    drain(spool, store)
    assert stored_ids(store) == ["a", "b"]


def test_a_line_that_is_being_written_during_the_claim_is_waited_for(
    store: Store, spool: Path
) -> None:
    transport = SpoolTransport(spool)
    transport.send([event("a")])
    with transport.path().open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        collecting = threading.Thread(target=drain, args=(spool, store))
        collecting.start()
        while transport.path().exists():
            time.sleep(0.005)
        time.sleep(0.05)
        writer.write(encode_event(event("b")))
    collecting.join()
    assert stored_ids(store) == ["a", "b"]


def test_a_writer_notices_that_the_name_leads_to_another_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with path.open("ab") as opened:
        assert _lock_current(opened.fileno(), path)
        path.rename(tmp_path / "x.jsonl.1.claimed")
        assert not _lock_current(opened.fileno(), path)
        path.touch()
        assert not _lock_current(opened.fileno(), path)


def test_a_file_that_cant_be_read_fails_its_source_after_the_others(
    store: Store, spool: Path
) -> None:
    SpoolTransport(spool).send([event("a")])
    (spool / "a.jsonl").mkdir()
    report = drain(spool, store)
    assert (report.status, report.rows) == ("failed", 1)
    assert report.message is not None
    assert "Is a directory" in report.message


def test_spools_are_named_as_folders_or_globs(tmp_path: Path) -> None:
    for name in ("one/spool", "two/spool"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "spool").touch()
    assert spool_folders([]) == [tmp_path / "var" / "spool"]
    found = spool_folders([f"{tmp_path}/*/spool", f"{tmp_path}/one/spool", f"{tmp_path}/none"])
    assert found == [tmp_path / "none", tmp_path / "one" / "spool", tmp_path / "two" / "spool"]
