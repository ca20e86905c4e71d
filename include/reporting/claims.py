"""Taking files out of a spool: claim by rename, then by lock, and delete what was passed on.

A crash leaves the claimed file, and whoever claims next takes it up again: ``event_id`` keeps what
was stored already from being stored twice.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.reporting.spool import SUFFIX

#: Ends the names of files that were claimed: nobody appends to them any more.
CLAIMED = ".claimed"
#: Beside the spool's files: the lines of one that could not be taken, as they were.
REJECTED = ".rejected"
#: Descriptors that hold locks now. A forked child has copies, which would keep the locks.
_locks: set[int] = set()


def claim_files(folder: Path) -> list[Path]:
    """Rename every file that reporters write to; all claimed files, abandoned ones too.

    In the order in which they were last written to. A folder that isn't there holds none.

    Raises:
        OSError: the folder can't be read, or a file not be renamed.
    """
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []
    claimed = {folder / name for name in names if name.endswith(CLAIMED)}
    for name in names:
        if not name.endswith(SUFFIX):
            continue
        target = folder / f"{name}.{uuid.uuid4().hex[:16]}{CLAIMED}"
        try:
            (folder / name).rename(target)
        except FileNotFoundError:
            continue  # somebody else was faster, and has the file or has left it claimed
        claimed.add(target)
    # what somebody else claimed since the listing
    claimed.update(folder / one.name for one in os.scandir(folder) if one.name.endswith(CLAIMED))
    return sorted(claimed, key=lambda path: (_written_at(path), path.name))


def _written_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@contextmanager
def locked(path: Path, *, patience_s: float | None = None) -> Iterator[bool]:
    """Hold a claimed file's lock: no writer is in the middle of a line, and nobody else reads it.

    Yields whether it is held and the file still there; false also where somebody else has held it
    for ``patience_s`` seconds (None: waits for as long as it takes).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    _locks.add(descriptor)
    try:
        yield _lock(descriptor, patience_s) and os.fstat(descriptor).st_nlink > 0
    finally:
        _locks.discard(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int, patience_s: float | None) -> bool:
    if patience_s is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)


def _drop_after_fork() -> None:
    for descriptor in _locks:
        os.close(descriptor)
    _locks.clear()


os.register_at_fork(after_in_child=_drop_after_fork)
