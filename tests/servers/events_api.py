"""``POST /api/v1/events`` in a process of its own, which can be killed and brought back.

Stricter than the API: it takes nothing that the contract doesn't name. Events are kept in SQLite
in the order of their arrival, once each by ``event_id``. What it does with a request is in a file
that tests write (``Behaviour``).
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEY = "mk_test.s3cr3t-of-the-key"
_FIELDS = {
    "event_id": 64,
    "event_type": 16,
    "source": 255,
    "level": 16,
    "message": 65_536,
    "service": 255,
    "instance": 255,
    "container": 255,
    "exception_type": 255,
    "fingerprint": 32,
}
_CHOICES = {
    "event_type": ("gateway", "container", "custom"),
    "level": ("info", "warning", "error", "critical"),
}
_MAX_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True)
class Behaviour:
    """What the server does with a request.

    Attributes:
        status: other than 200, it is answered with this one and nothing is stored.
        headers: of the answer.
        body: instead of its own.
        hang_s: seconds before it answers.
        trickle: the answer comes byte by byte, for ever.
        die_after: it stores the events and kills itself before the answer.
        die_before: it reads the request and kills itself.
        max_events: more in one request are 413.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    hang_s: float = 0.0
    trickle: bool = False
    die_after: bool = False
    die_before: bool = False
    max_events: int = 1000


class EventsApi:
    """The server: ``start``, ``kill`` and ``start`` again on the same port.

    Each ``reset`` gives it another base address with nothing stored: what a test before left on its
    way doesn't come in between.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        with closing(socket.create_server(("127.0.0.1", 0))) as probe:
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self._resets = 0
        self.reset()

    def reset(self) -> None:
        self._resets += 1
        name = f"base-{self._resets}"
        self._folder = self._root / name
        self._folder.mkdir(parents=True)
        self.url = f"http://127.0.0.1:{self.port}/{name}"
        self.behave()
        with closing(self._database()) as database:
            database.executescript(
                "PRAGMA journal_mode=WAL;"
                "CREATE TABLE event (at INTEGER PRIMARY KEY, event_id TEXT UNIQUE, body TEXT);"
                "CREATE TABLE request (at INTEGER PRIMARY KEY, time REAL, status INT, "
                "events INT, repeated INT, headers TEXT);"
            )

    def behave(self, **given: Any) -> None:
        """From now on (see ``Behaviour``)."""
        partial = self._folder / "behaviour.partial"
        partial.write_text(json.dumps(asdict(replace(Behaviour(), **given))))
        partial.rename(self._folder / "behaviour.json")

    def start(self) -> None:
        """If it isn't running."""
        if self._process is not None and self._process.poll() is None:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.events_api", str(self.port), str(self._root)],
            cwd=Path(__file__).parents[2],
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        """With SIGKILL, as does whoever pulls the plug."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait_dead(self, timeout_s: float = 20) -> None:
        """Until it has killed itself."""
        assert self._process is not None
        assert self._process.wait(timeout_s) == -signal.SIGKILL

    def events(self) -> list[dict[str, Any]]:
        """What is stored, in the order of arrival."""
        with closing(self._database()) as database:
            rows = database.execute("SELECT body FROM event ORDER BY at").fetchall()
        return [json.loads(body) for (body,) in rows]

    def ids(self) -> list[str]:
        return [event["event_id"] for event in self.events()]

    def wait_for(self, number: int, timeout_s: float = 20) -> list[dict[str, Any]]:
        """The events, once there are ``number``."""
        deadline = time.monotonic() + timeout_s
        while len(found := self.events()) < number and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(found) == number, f"{len(found)} of {number} events came: {self.requests()[-5:]}"
        return found

    def requests(self) -> list[dict[str, Any]]:
        """Each with time, status, number of events, how many were repeated, and headers."""
        with closing(self._database()) as database:
            database.row_factory = sqlite3.Row
            rows = [dict(row) for row in database.execute("SELECT * FROM request ORDER BY at")]
        return [{**row, "headers": json.loads(row["headers"])} for row in rows]

    def wait_for_requests(self, number: int, timeout_s: float = 20) -> list[dict[str, Any]]:
        deadline = time.monotonic() + timeout_s
        while len(found := self.requests()) < number and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(found) >= number
        return found

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(self._folder / "events.sqlite", timeout=30)


@contextmanager
def run_events_api(folder: Path) -> Iterator[EventsApi]:
    api = EventsApi(folder)
    api.start()
    try:
        yield api
    finally:
        api.kill()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path
    folder: Path

    def do_POST(self) -> None:
        base, _, self.resource = self.path.removeprefix("/").partition("/")
        self.folder = self.root / base
        given = json.loads((self.folder / "behaviour.json").read_text())
        does = Behaviour(**{**given, "headers": tuple(map(tuple, given["headers"]))})
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(does.hang_s)
        if does.die_before:
            os.kill(os.getpid(), signal.SIGKILL)
        status, answer, events = (does.status, {}, [])
        if status == 200:
            status, events, answer = self._take(body, does)
        self._log(status, len(events), answer.get("repeated", 0))
        if does.die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        text = (json.dumps(answer) if does.body is None else does.body).encode()
        self.send_response(status)
        kind = "application/json" if status == 200 else "application/problem+json"
        given_headers = dict(does.headers)
        given_headers.setdefault("Content-Type", kind)
        given_headers.setdefault("Content-Length", str(10**6 if does.trickle else len(text)))
        for name, value in given_headers.items():
            self.send_header(name, value)
        self.end_headers()
        while does.trickle:
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.1)
        self.wfile.write(text)

    def _take(self, body: bytes, does: Behaviour) -> tuple[int, list[Any], dict[str, Any]]:
        if self.resource != "api/v1/events":
            return 404, [], {}
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return 401, [], {}
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if len(body) > _MAX_BYTES:
            return 413, [], {}
        try:
            events = json.loads(body)
        except ValueError:
            return 422, [], {}
        if not isinstance(events, list) or self.headers["Content-Type"] != "application/json":
            return 422, [], {}
        if len(events) > does.max_events:
            return 413, events, {}
        return 200, events, self._store(events)

    def _store(self, events: list[Any]) -> dict[str, Any]:
        rejected, stored, repeated = [], 0, 0
        with closing(sqlite3.connect(self.folder / "events.sqlite", timeout=30)) as database:
            for index, event in enumerate(events):
                wrong = _wrong_with(event)
                if wrong is not None:
                    mark = event.get("event_id")
                    rejected.append({"index": index, "event_id": mark, **wrong})
                    continue
                done = database.execute(
                    "INSERT INTO event (event_id, body) VALUES (?, ?) ON CONFLICT DO NOTHING",
                    (event["event_id"], json.dumps(event)),
                )
                stored += done.rowcount
                repeated += 1 - done.rowcount
            database.commit()
        return {"stored": stored, "repeated": repeated, "rejected": rejected}

    def _log(self, status: int, events: int, repeated: int) -> None:
        with closing(sqlite3.connect(self.folder / "events.sqlite", timeout=30)) as database:
            database.execute(
                "INSERT INTO request (time, status, events, repeated, headers) "
                "VALUES (?, ?, ?, ?, ?)",
                (time.time(), status, events, repeated, json.dumps(dict(self.headers))),
            )
            database.commit()

    def log_message(self, *_arguments: object) -> None:
        """Nothing: tests read ``requests``."""


def _wrong_with(event: dict[str, Any]) -> dict[str, str | None] | None:
    if unknown := set(event) - set(_FIELDS) - {"detail", "occurred_at", "created_at"}:
        return {"field": min(unknown), "message": "is not known"}
    for name in ("event_id", "message", "occurred_at"):
        if name not in event:
            return {"field": name, "message": "is missing"}
    if event["message"] == "refuse me":
        return {"field": "message", "message": "is refused"}
    if event["message"] == "refuse me whole":
        return {"field": None, "message": "is refused whole"}
    if datetime.fromisoformat(event["occurred_at"]).tzinfo is None:
        return {"field": "occurred_at", "message": "has no time zone"}
    for name, most in _FIELDS.items():
        value = event.get(name, "")
        if not isinstance(value, str) or len(value) > most:
            return {"field": name, "message": f"is not a text of at most {most} characters"}
        if name in event and name in _CHOICES and value not in _CHOICES[name]:
            return {"field": name, "message": "is none of " + ", ".join(_CHOICES[name])}
    if not isinstance(event.get("detail", {}), dict):
        return {"field": "detail", "message": "is not an object"}
    return None


if __name__ == "__main__":
    _Handler.root = Path(sys.argv[2])
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
