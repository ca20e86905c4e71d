"""The spool: a folder of files with one event a line, written where nothing else takes events.

Files are named by host, process and day, so processes never share one. A writer takes the file's
lock and looks whether the name still leads to the file that it opened; a reader (claims.py) renames
a file before it takes the lock. So a line is either in the file before it is read, or in a new
file.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.reporting.event import repair_event
from include.reporting.transport import TransportError
from userdb.events import EventRecord
from userdb.url import project_root

#: Ends the names of files that reporters write to.
SUFFIX = ".jsonl"
#: A writer gives up after this time; nobody holds the lock for longer than one write.
_LOCK_TIMEOUT_S = 2.0
#: The size of a bounded spool is looked up once in this time.
_MEASURE_EVERY_S = 1.0
_TIMES = ("occurred_at", "created_at")
_FIELDS = frozenset(EventRecord.__dataclass_fields__)


def default_spool() -> Path:
    """The folder that MONITORING_SPOOL names, else ``var/spool`` in the project."""
    named = os.environ.get("MONITORING_SPOOL", "").strip()
    return Path(named) if named else project_root() / "var" / "spool"


def encode_event(event: EventRecord) -> bytes:
    """The event as one line of JSON, with its newline."""
    fields: dict[str, Any] = {
        name: value for name, value in asdict(event).items() if value is not None
    }
    for name in _TIMES:
        fields[name] = fields[name].isoformat()
    # ASCII: no line separator of any kind, and a line cut short is never half a character
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def decode_event(line: bytes) -> EventRecord:
    """The event in a line of a spool.

    Raises:
        ValueError: it is not one; the text says why.
    """
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as cause:
        raise ValueError(f"is not JSON: {cause}") from None
    if not isinstance(fields, dict):
        raise ValueError("is not a JSON object")
    for name in ("event_id", "event_type", "message", "occurred_at"):
        if not isinstance(fields.get(name), str):
            raise ValueError(f"has no {name}")
    if unknown := sorted(set(fields) - _FIELDS):
        raise ValueError(f"has unknown fields: {', '.join(unknown)[:200]}")
    fields.setdefault("created_at", fields["occurred_at"])
    for name in _TIMES:
        try:
            fields[name] = datetime.fromisoformat(fields[name]).astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{name} is not a time: {str(fields[name])[:100]!r}") from None
    return repair_event(fields)


class SpoolTransport:
    """Appends events to this process' file in ``folder``, safe on disk when ``send`` returns.

    ``max_bytes`` bounds what the folder's files hold together; a full spool takes no events.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        max_bytes: int | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.folder = default_spool() if folder is None else Path(folder)
        self.max_bytes = max_bytes
        self._clock = clock
        self._measured = (0.0, 0)

    def path(self) -> Path:
        """The file that is written to now."""
        host = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())[:64] or "host"
        return self.folder / f"{host}-{os.getpid()}-{self._clock():%Y%m%d}{SUFFIX}"

    def send(self, events: Sequence[EventRecord]) -> None:
        data = b"".join(encode_event(event) for event in events)
        path = self.path()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._require_space(len(data))
            _append(path, data)
        except OSError as cause:
            raise TransportError(f"the spool {path} can't be written to: {cause}") from cause

    def _require_space(self, size: int) -> None:
        if self.max_bytes is None:
            return
        at, used = self._measured
        if time.monotonic() - at > _MEASURE_EVERY_S:
            at, used = time.monotonic(), used_bytes(self.folder)
        if used + size > self.max_bytes:
            self._measured = (at, used)
            raise TransportError(f"the spool {self.folder} is full: it holds {used} bytes")
        self._measured = (at, used + size)


def used_bytes(folder: Path) -> int:
    """The size of all files in ``folder`` together."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                total += entry.stat().st_size
            except FileNotFoundError:
                continue  # it was sent since the listing
    return total


def _append(path: Path, data: bytes) -> None:
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if _lock_current(descriptor, path):
                _write(descriptor, data)
                return
        finally:
            # said outright: a process that was forked meanwhile has a copy, which keeps the lock
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process holds its lock for {_LOCK_TIMEOUT_S:g} s")
        time.sleep(0.002)


def _lock_current(descriptor: int, path: Path) -> bool:
    """Lock the open file, unless its name has come to lead elsewhere: it was claimed then."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    try:
        named, opened = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def _write(descriptor: int, data: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        data = b"\n" + data  # whoever wrote last died in the middle: keep its rest apart
    written = os.write(descriptor, data)
    if written != len(data):
        os.ftruncate(descriptor, size)
        raise OSError(f"only {written} of {len(data)} bytes could be written; is the disk full?")
    os.fsync(descriptor)
