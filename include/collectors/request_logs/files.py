"""The files of a log source as they lie on disk: found by globs, opened, their first bytes read."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from include.collectors.request_logs.birth import born_at
from include.collectors.request_logs.compression import (
    BROKEN,
    COMPRESSIONS,
    MAGIC_LENGTH,
    Compression,
    compression_of,
    decompressed,
)
from include.collectors.request_logs.settings import LogSource
from userdb.errors import CollectionError

#: A file is known by the hash of at most so many first bytes.
IDENTITY_LENGTH = 1024
#: First bytes that are read to see when a file begins.
_HEAD = 256 << 10

_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}(?:[-_T.]?\d{2,6})?")
_NUMBER = re.compile(r"[-._]\d+$")


@dataclass
class LogFile:
    """An opened file. ``size`` is in bytes on disk, as it was when the file was opened.

    ``head`` holds the first decompressed bytes. ``born`` and ``modified`` are seconds since 1970.
    """

    path: Path
    handle: BinaryIO
    compression: Compression | None
    size: int
    born: float | None
    modified: float
    head: bytes = b""

    @property
    def compressed(self) -> bool:
        return self.compression is not None

    @property
    def stream_name(self) -> str:
        """Its path without what a rotation adds: files of one log have the same."""
        return stream_name(self.path)

    @property
    def identity(self) -> bytes:
        """The bytes that tell it from other files; empty where it holds no whole line yet."""
        prefix = self.head[:IDENTITY_LENGTH]
        # a young file's last line may be half written: the bytes of whole lines stay
        return prefix if len(prefix) == IDENTITY_LENGTH else prefix[: prefix.rfind(b"\n") + 1]

    def stream(self) -> BinaryIO:
        """Its decompressed bytes, from the first on."""
        self.handle.seek(0)
        return decompressed(self.handle, self.compression)

    def was_truncated(self) -> bool:
        """Whether it has become shorter since it was opened."""
        return os.fstat(self.handle.fileno()).st_size < self.size


@dataclass(frozen=True)
class UnreadableFile:
    """A file that is there and can't be read; ``modified`` in seconds since 1970 where known."""

    path: Path
    message: str
    modified: float | None = None


@dataclass
class FoundFiles:
    """What a source's paths lead to at one moment."""

    files: list[LogFile] = field(default_factory=list)
    unreadable: list[UnreadableFile] = field(default_factory=list)


def stream_name(path: Path) -> str:
    """``path`` without ``.gz``, ``.zst``, dates, and the number that a rotation put at its end."""
    name = _plain(path.name)
    name = _DATE.sub("", name)
    while (shorter := _NUMBER.sub("", name)) and shorter != name:
        name = shorter
    return str(path.with_name(name.strip("-._") or path.name))


def _plain(name: str) -> str:
    for one in COMPRESSIONS:
        name = name.removesuffix(one.suffix)
    return name


@contextmanager
def open_files(source: LogSource) -> Iterator[FoundFiles]:
    """Open all files of ``source``: whatever a rotation renames later, they stay what they are.

    Raises:
        CollectionError: no file is there, or one that is named without a glob is missing.
    """
    with ExitStack() as stack:
        found = FoundFiles()
        for path in _discover(source):
            try:
                opened = _open(path, stack)
            except FileNotFoundError:
                continue  # renamed since it was listed, and found under its new name, or gone
            if isinstance(opened, UnreadableFile):
                found.unreadable.append(opened)
            else:
                found.files.append(opened)
        # a compressor holds the original until it has written the copy
        whole = {str(file.path) for file in found.files}
        found.unreadable = [
            file for file in found.unreadable if _plain(str(file.path)) not in whole
        ]
        if not found.files and not found.unreadable:
            raise CollectionError(_nothing_found(source))
        yield found


def _discover(source: LogSource) -> list[Path]:
    paths: set[str] = set()
    for pattern in source.paths:
        if glob.has_magic(pattern):
            # Path.glob takes no absolute pattern
            paths.update(glob.glob(pattern, recursive=True))  # noqa: PTH207
            continue
        try:
            Path(pattern).stat()
        except OSError as error:
            raise CollectionError(
                f"request_logs source {source.name!r}: the log file {pattern} can't be found: "
                f"{error.strerror or error}; start the gateway, correct the path in sources.yaml, "
                "or let this user enter the folder. Nothing that is stored was changed"
            ) from None
        paths.add(pattern)
    return sorted(Path(path) for path in paths if not Path(path).is_dir())


def _nothing_found(source: LogSource) -> str:
    return (
        f"request_logs source {source.name!r}: no file matches {', '.join(source.paths)}; "
        "start the gateway, correct paths in sources.yaml, or let this user list the folder. "
        "Nothing that is stored was changed"
    )


def _open(path: Path, stack: ExitStack) -> LogFile | UnreadableFile:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            return UnreadableFile(
                path, "is not a regular file; let the gateway log to a file, not to a pipe"
            )
        handle = stack.enter_context(path.open("rb"))
        about = os.fstat(handle.fileno())
        compression = compression_of(handle.read(MAGIC_LENGTH))
        said = next((one for one in COMPRESSIONS if one.suffix == path.suffix), None)
        if said is not None and compression is not said:
            return UnreadableFile(
                path, f"is not {said.name}, whatever its name says", about.st_mtime
            )
        file = LogFile(
            path=path,
            handle=handle,
            compression=compression,
            size=about.st_size,
            born=born_at(handle.fileno()),
            modified=about.st_mtime,
        )
        file.head = _read_head(file)
        return file
    except FileNotFoundError:
        raise
    except BROKEN as error:
        return UnreadableFile(path, broken(compression, error), about.st_mtime)
    except OSError as error:
        return UnreadableFile(
            path, f"can't be read: {error.strerror or error}; let this user read it"
        )


def broken(compression: Compression | None, error: Exception) -> str:
    """What to tell of a compressed file that could not be read to its end."""
    kind = "compressed data" if compression is None else compression.name
    return f"is broken {kind} ({error}); restore it from the original, or move it away"


def _read_head(file: LogFile) -> bytes:
    """The first bytes; of a broken file, those before the break, if there are enough to know it."""
    stream, head = file.stream(), b""
    limit = _HEAD if file.compressed else min(_HEAD, file.size)
    try:
        while len(head) < limit and (data := stream.read1(limit - len(head))):  # type: ignore[attr-defined]
            head += data
    except BROKEN:
        if len(head) < IDENTITY_LENGTH:
            raise
    return head


def distinct(files: list[LogFile]) -> list[LogFile]:
    """``files`` without those that begin like another one: the same log under two names.

    That is so while a rotation copies or compresses. The plain one is kept, of those the longer.
    """
    kept: list[LogFile] = []
    for file in sorted(files, key=lambda file: (file.compressed, -file.size, str(file.path))):
        if not any(_same(file, other) for other in kept):
            kept.append(file)
    return kept


def _same(file: LogFile, other: LogFile) -> bool:
    shorter = min(len(file.identity), len(other.identity))
    return shorter > 0 and file.identity[:shorter] == other.identity[:shorter]
