"""Reporting where userdb is absent, slow or wrong: nothing lost, nobody waits long."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from include.reporting import (
    Reporter,
    SpoolTransport,
    TransportError,
    UserdbTransport,
    build_event,
    default_spool,
    report_event,
)
from include.reporting.spool import decode_event, encode_event
from tests.servers.mariadb import MariaDbServer
from userdb.events import EventRecord
from userdb.models import MonitorEvent
from userdb.store import Store
from userdb.url import UserdbUrl, parse_url

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CLIENT = "from include.gateway_client import report_gateway_exception as report\n"


def event(event_id: str = "e1", **given: Any) -> EventRecord:
    fields = {"event_type": "gateway", "source": "test", "message": "m", **given}
    return build_event(now=NOW, event_id=event_id, **fields)[0]


def url(text: str) -> UserdbUrl:
    return UserdbUrl(parse_url(text, "test"), "test")


def spooled(folder: Path) -> list[EventRecord]:
    return [
        decode_event(line)
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the spool's folder; userdb is a file that doesn't exist."""
    monkeypatch.setenv("USERDB_URL", f"sqlite:///{tmp_path}/none/userdb.sqlite")
    monkeypatch.setenv("MONITORING_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


def test_a_line_holds_the_whole_event() -> None:
    full = event(
        detail={"名": "🚨\n\u2028"},
        service="s",
        instance="i",
        container="c",
        occurred_at=datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        exception=ValueError("x"),
        level="critical",
    )
    line = encode_event(full)
    assert line.count(b"\n") == 1
    assert decode_event(line) == full
    assert decode_event(encode_event(event())) == event()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b"{}", "has no event_id"),
        (encode_event(event())[:-20], "is not JSON"),
        (encode_event(event()).replace(b'"message":"m"', b'"message":3'), "has no message"),
        (encode_event(event()).replace(b"2026-03-01T12", b"yesterday"), "is not a time"),
        (encode_event(event()).replace(b'"level"', b'"lvl"'), "has unknown fields: lvl"),
    ],
)
def test_a_line_that_is_no_event_says_why(line: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_event(line)


def test_a_missing_sqlite_file_is_not_created(environment: Path, tmp_path: Path) -> None:
    mark = report_event("gateway", "test", "m")
    assert [item.event_id for item in spooled(environment)] == [mark]
    assert not (tmp_path / "none").exists()


def test_a_userdb_without_tables_is_no_place_for_events(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.sqlite").touch()
    monkeypatch.setenv("USERDB_URL", f"sqlite:///{tmp_path}/empty.sqlite")
    report_event("gateway", "test", "m", event_id="x")
    assert [item.event_id for item in spooled(environment)] == ["x"]


@pytest.mark.parametrize("wrong", ["nonsense", "postgresql://h/d", "mysql://h:1"])
def test_a_wrong_url_loses_no_event(
    environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wrong: str,
) -> None:
    monkeypatch.setenv("USERDB_URL", wrong)
    report_event("gateway", "test", "m", event_id="x")
    assert [item.event_id for item in spooled(environment)] == ["x"]
    assert "USERDB_URL" in caplog.text


def test_a_server_that_is_down_or_silent_is_not_waited_for(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("USERDB_URL", f"mysql+pymysql://u:sekret@127.0.0.1:{port}/userdb")
        started = time.perf_counter()
        for number in range(50):
            report_event("gateway", "test", "m", event_id=str(number))
        # one time-out, then the pause: 50 events don't wait 50 times
        assert time.perf_counter() - started < 8
    assert len(spooled(environment)) == 50
    report_event("gateway", "test", "m", event_id="refused")
    assert len(spooled(environment)) == 51


def test_no_password_is_logged(
    environment: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("USERDB_URL", "mysql+pymysql://u:sekret@127.0.0.1:1/userdb")
    report_event("gateway", "test", "m")
    assert "can't be written to" in caplog.text
    assert "sekret" not in caplog.text


class _Flaky:
    """A transport whose failures a test sets."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.calls = 0
        self.kept: list[EventRecord] = []

    def send(self, events: Sequence[EventRecord]) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.kept += events


def test_a_transport_that_failed_is_left_alone_for_a_while() -> None:
    first, second = _Flaky(), _Flaky()
    reporter = Reporter([first, second], pause_s=0.2)
    first.error = TransportError("down")
    for number in range(3):
        reporter.report(event(str(number)))
    assert (first.calls, len(second.kept)) == (1, 3)
    first.error = None
    time.sleep(0.25)
    reporter.report(event("4"))
    assert [item.event_id for item in first.kept] == ["4"]


def test_an_event_that_is_refused_for_good_pauses_nothing() -> None:
    first, second = _Flaky(), _Flaky()
    reporter = Reporter([first, second])
    first.error = TransportError("this one never", permanent=True)
    reporter.report(event("1"))
    first.error = None
    reporter.report(event("2"))
    assert [item.event_id for item in second.kept] == ["1"]
    assert [item.event_id for item in first.kept] == ["2"]


def test_an_event_that_nobody_takes_is_logged_in_full(caplog: pytest.LogCaptureFixture) -> None:
    broken = _Flaky()
    broken.error = RuntimeError("a bug")
    Reporter([broken, broken]).report(event("lost?", message="the text"))
    assert '"event_id":"lost?"' in caplog.text
    assert "the text" in caplog.text
    last = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "kept nowhere but here" in last[0].getMessage()


def test_a_spool_that_cant_be_written_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("USERDB_URL", "nonsense")
    monkeypatch.setenv("MONITORING_SPOOL", str(tmp_path / "file"))
    assert report_event("gateway", "test", "m", event_id="x") == "x"
    assert '"event_id":"x"' in caplog.text


def test_userdb_transport_stores_on_both_dialects(store: Store) -> None:
    transport = UserdbTransport(lambda: store.url)
    transport.send([event("a"), event("b"), event("a")])
    transport.send([event("b"), event("c")])
    transport.close()
    transport.send([event("c"), event("d")])
    transport.close()
    with store.read() as connection:
        stored = connection.scalars(select(MonitorEvent.event_id)).all()
    assert sorted(stored) == ["a", "b", "c", "d"]


@pytest.mark.mariadb
def test_the_pure_python_driver_that_containers_have_stores_too(mariadb_store: Store) -> None:
    url = mariadb_store.url.url.set(drivername="mysql+pymysql")
    transport = UserdbTransport(lambda: UserdbUrl(url, "test"))
    for _ in range(2):
        transport.send([event("a", message="仿真 🚨", detail={"a": 1}), event("b")])
    transport.close()
    with mariadb_store.read() as connection:
        stored = connection.scalars(select(MonitorEvent.message)).all()
    assert sorted(stored) == ["m", "仿真 🚨"]


def test_a_locked_sqlite_is_waited_for_two_seconds(sqlite_store: Store) -> None:
    transport = UserdbTransport(lambda: sqlite_store.url)
    transport.send([event("before")])
    with sqlite_store.engine.begin() as connection:  # BEGIN IMMEDIATE holds the lock
        connection.execute(text("SELECT 1"))
        started = time.perf_counter()
        with pytest.raises(TransportError, match="locked"):
            transport.send([event("a")])
        assert 1 < time.perf_counter() - started < 6
    transport.send([event("a")])
    transport.close()


@pytest.mark.mariadb
def test_a_lost_connection_is_replaced(mariadb_store: Store, mariadb_server: MariaDbServer) -> None:
    transport = UserdbTransport(lambda: mariadb_store.url)
    transport.send([event("a")])
    with mariadb_store.read() as connection:
        ids = connection.scalars(
            text(
                "SELECT id FROM information_schema.processlist WHERE user = 'monitoring' "
                "AND id <> CONNECTION_ID()"
            )
        ).all()
    mariadb_server.execute(*(f"KILL {number}" for number in ids))
    transport.send([event("b")])
    transport.close()


def test_a_fork_reports_with_a_connection_of_its_own(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = CLIENT + (
        "import os\n"
        "report('m', event_id='parent-1')\n"
        "children = [os.fork() for _ in range(1)]\n"
        "for number in range(20):\n"
        "    report('m', event_id=f'{children[0] > 0}-{number}')\n"
        "if children[0]: assert os.waitpid(children[0], 0)[1] == 0\n"
    )
    environment = {
        **os.environ,
        "USERDB_URL": store.url.url.render_as_string(hide_password=False),
        "MONITORING_SPOOL": str(tmp_path / "spool"),
    }
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    with store.read() as connection:
        stored = set(connection.scalars(select(MonitorEvent.event_id)))
    spool = {item.event_id for item in spooled(tmp_path / "spool")}
    assert len(stored | spool) == 41


def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    transport = SpoolTransport(tmp_path)
    transport.send([event("a")])
    with transport.path().open("ab") as file:
        file.write(encode_event(event("torn"))[:30])
    transport.send([event("b")])
    lines = transport.path().read_bytes().splitlines()
    assert [decode_event(lines[0]).event_id, decode_event(lines[2]).event_id] == ["a", "b"]


def test_a_full_disk_leaves_whole_lines_only(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from datetime import UTC, datetime\n"
        "from include.reporting import SpoolTransport, TransportError, build_event\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "transport = SpoolTransport(Path(sys.argv[1]))\n"
        "for number in range(20):\n"
        "    made, _ = build_event(now=datetime.now(UTC), event_type='gateway', source='t',\n"
        "                          message='m', event_id=str(number))\n"
        "    try: transport.send([made])\n"
        "    except TransportError as error: print(number, error); break\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    number, _, told = done.stdout.partition(" ")
    assert "can't be written to" in told
    assert [item.event_id for item in spooled(tmp_path)] == [str(n) for n in range(int(number))]
    assert next(tmp_path.iterdir()).read_bytes().endswith(b"\n")


def test_files_are_of_one_process_and_one_day(tmp_path: Path) -> None:
    at = [NOW]
    transport = SpoolTransport(tmp_path, clock=lambda: at[0])
    transport.send([event("a")])
    at[0] = datetime(2026, 3, 2, tzinfo=UTC)
    transport.send([event("b")])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name.rsplit("-", 2)[1:] for name in names] == [
        [str(os.getpid()), "20260301.jsonl"],
        [str(os.getpid()), "20260302.jsonl"],
    ]


def test_the_default_spool_is_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONITORING_SPOOL", raising=False)
    assert default_spool() == tmp_path / "var" / "spool"


def test_a_killed_reporter_has_lost_nothing_that_it_had_reported(tmp_path: Path) -> None:
    program = CLIENT + (
        "import itertools\n"
        "for number in itertools.count():\n"
        "    report('m', event_id=str(number)); print(number, flush=True)\n"
    )
    environment = {
        **os.environ,
        "USERDB_URL": f"sqlite:///{tmp_path}/none.sqlite",
        "MONITORING_SPOOL": str(tmp_path / "spool"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(100):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        told = 100 + len(process.stdout.readlines())
    lines = [
        line for path in (tmp_path / "spool").iterdir() for line in path.read_text().splitlines()
    ]
    assert {json.loads(line)["event_id"] for line in lines[:told]} == {str(n) for n in range(told)}


def test_imports_nothing_beyond_the_base_dependencies(tmp_path: Path) -> None:
    # a container of a user's has only these: everything else is as if it were not installed
    allowed = ("sqlalchemy", "pymysql", "typing_extensions", "greenlet", "cryptography", "include")
    allowed += ("requests", "urllib3", "certifi", "idna", "charset_normalizer")
    program = (
        "import sys\n"
        f"allowed = {(*allowed, 'userdb', 'cffi', '_cffi_backend')!r}\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.partition('.')[0]\n"
        "        if top.startswith('_sysconfigdata'): return None\n"
        "        if top not in sys.stdlib_module_names and top not in allowed:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "try: import pandas\n"
        "except ModuleNotFoundError: pass\n"
        "else: raise SystemExit('the blocker does not block')\n"
    ) + CLIENT.replace("\n", "; report('m', event_id='x')\n")
    environment = {
        **os.environ,
        "USERDB_URL": f"sqlite:///{tmp_path}/none.sqlite",
        "MONITORING_SPOOL": str(tmp_path / "spool"),
    }
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment, check=True)
    assert [item.event_id for item in spooled(tmp_path / "spool")] == ["x"]
