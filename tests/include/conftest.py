"""A real server that follows the contract, and transports that report to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.reporting import HttpSettings, HttpTransport, build_event
from include.reporting.spool import decode_event
from tests.servers.events_api import KEY, EventsApi, run_events_api
from userdb.events import EventRecord

#: Begins programs that report as ``report(message, event_id=…)``.
CLIENT = "from include.gateway_client import report_gateway_exception as report\n"
ROOT = Path(__file__).parents[2]


def event(event_id: str = "e1", **given: Any) -> EventRecord:
    fields = {"event_type": "gateway", "source": "test", "message": "m", **given}
    return build_event(now=datetime.now(UTC), event_id=event_id, **fields)[0]


def numbered(first: int, end: int) -> list[str]:
    return [str(number) for number in range(first, end)]


def spooled(folder: Path) -> list[str]:
    """Ids of what waits in a spool, by reporting order of one process."""
    paths = [path for path in folder.glob("*.jsonl*") if not path.name.endswith(".rejected")]
    paths.sort(key=lambda path: path.stat().st_mtime_ns)
    return [decode_event(line).event_id for path in paths for line in path.open("rb")]


@pytest.fixture(scope="session")
def _events_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventsApi]:
    with run_events_api(tmp_path_factory.mktemp("events-api")) as server:
        yield server


@pytest.fixture
def api(_events_api: EventsApi) -> EventsApi:
    """The server, running, with nothing stored."""
    _events_api.reset()
    _events_api.start()
    return _events_api


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


Connect = Callable[..., HttpTransport]


@pytest.fixture
def connect(api: EventsApi, spool: Path) -> Iterator[Connect]:
    """Makes transports to the server."""
    made: list[HttpTransport] = []

    def make(**given: Any) -> HttpTransport:
        settings = {"url": api.url, "api_key": KEY, "spool": spool, "timeout_s": 2.0, **given}
        made.append(HttpTransport(HttpSettings(**settings)))
        return made[-1]

    yield make
    for transport in made:
        transport.stop()


@pytest.fixture
def environment(
    api: EventsApi, spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Of this process and of those that it starts: they report to the server."""
    names = {
        "MONITORING_URL": api.url,
        "MONITORING_API_KEY": KEY,
        "MONITORING_SPOOL": str(spool),
        # must not be used
        "USERDB_URL": f"sqlite:///{tmp_path}/none/userdb.sqlite",
    }
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **names}


def start(program: str, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Run ``program`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def run(program: str, environment: dict[str, str], *arguments: str) -> str:
    with start(program, environment, *arguments) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output + errors
