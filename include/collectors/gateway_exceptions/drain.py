"""Events from spools into userdb: claim, store, and delete after the commit.

Collectors that drain one folder at the same time share the work: who holds a file's lock stores
it, the others wait and find it gone.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from include.reporting.claims import CLAIMED, REJECTED, claim_files, locked
from include.reporting.spool import decode_event, default_spool
from userdb.events import EventRecord, store_each
from userdb.ledger import MAX_SAMPLES, Rejected, SourceReport
from userdb.store import Store

_BATCH = 1000
#: No reporter writes longer lines: see MAX_MESSAGE and MAX_DETAIL in include.reporting.event.
_MAX_LINE = 8 * 1024 * 1024


def spool_folders(patterns: Sequence[str]) -> list[Path]:
    """The folders that ``patterns`` name: folders, or globs of folders. None: the default one."""
    if not patterns:
        return [default_spool()]
    found: set[Path] = set()
    for pattern in patterns:
        if glob.has_magic(pattern):
            matches = (Path(match) for match in glob.glob(pattern))  # noqa: PTH207  # absolute too
            found.update(path for path in matches if path.is_dir())
        else:
            found.add(Path(pattern))
    return sorted(found)


@dataclass
class _Tally:
    stored: int = 0
    repeated: int = 0
    rejected: int = 0
    samples: list[Rejected] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def drain(folder: Path, store: Store) -> SourceReport:
    """Store all events of the spool ``folder``; a folder that isn't there holds none.

    A file that can't be read fails the source, after the others have been stored.

    Raises:
        UserdbUnavailable, sqlalchemy.exc.DBAPIError: userdb failed; what isn't stored stays.
    """
    tally = _Tally()
    try:
        for claimed in claim_files(folder):
            try:
                _drain_file(claimed, store, tally)
            except OSError as error:
                tally.problems.append(f"{claimed.name}: {error.strerror or error}")
    except OSError as error:
        tally.problems.append(error.strerror or str(error))
    notes = list(tally.problems)
    if tally.repeated:
        notes.append(f"{tally.repeated} events were stored already")
    if tally.rejected:
        notes.append(f"rejected lines are kept in *{REJECTED} files there")
    return SourceReport(
        source=str(folder)[-255:],
        status="failed" if tally.problems else "ok",
        rows=tally.stored,
        rejected=tally.rejected,
        samples=tuple(tally.samples),
        message="; ".join(notes) or None,
    )


def _drain_file(path: Path, store: Store, tally: _Tally) -> None:
    # waits for another collector too, or we would report as collected what it has yet to store
    with locked(path) as held:
        if not held:
            return
        with path.open("rb") as file, _RejectedLines(path, tally) as rejected:
            batch: list[tuple[int, bytes, EventRecord]] = []
            for number, line in _lines(file, rejected):
                try:
                    batch.append((number, line, decode_event(line)))
                except ValueError as error:
                    rejected.add(number, line, str(error))
                if len(batch) == _BATCH:
                    _store(batch, store, tally, rejected)
                    batch = []
            _store(batch, store, tally, rejected)
        path.unlink()


def _lines(file: BinaryIO, rejected: _RejectedLines) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(_MAX_LINE):
        number += 1
        if len(line) < _MAX_LINE or line.endswith(b"\n"):
            if line.strip():
                yield number, line
            continue
        rejected.add(number, line, f"is longer than {_MAX_LINE} bytes")
        while line and not line.endswith(b"\n"):
            line = file.readline(_MAX_LINE)
            rejected.keep(line)


def _store(
    batch: Sequence[tuple[int, bytes, EventRecord]],
    store: Store,
    tally: _Tally,
    rejected: _RejectedLines,
) -> None:
    done = store_each(store.write, [event for _, _, event in batch])
    for at, why in done.refused.items():
        number, line, _ = batch[at]
        rejected.add(number, line, why)
    tally.stored += done.stored
    tally.repeated += done.repeated


class _RejectedLines:
    """Keeps rejected lines in a file named after the claimed one.

    It gets its name when it is complete, so draining a file again replaces it with the same.
    """

    def __init__(self, claimed: Path, tally: _Tally) -> None:
        self._path = claimed.with_name(claimed.name.removesuffix(CLAIMED) + REJECTED)
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._claimed = claimed
        self._tally = tally
        self._file: BinaryIO | None = None

    def __enter__(self) -> _RejectedLines:
        return self

    def add(self, number: int, line: bytes, why: str) -> None:
        self._tally.rejected += 1
        if len(self._tally.samples) < MAX_SAMPLES:
            text = line[:200].decode("utf-8", "backslashreplace").rstrip("\n")
            self._tally.samples.append(Rejected(f"{self._claimed.name}:{number}", why, text))
        self.keep(line)

    def keep(self, line: bytes) -> None:
        if self._file is None:
            self._file = self._partial.open("wb")
        self._file.write(line)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
        if error is None:
            self._partial.rename(self._path)
