"""One log file as normalised requests, a block at a time, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from include.collectors.request_logs.blocks import read_blocks
from include.collectors.request_logs.compression import (
    BROKEN,
    MAGIC_LENGTH,
    compression_of,
    decompressed,
)
from include.collectors.request_logs.files import broken
from include.collectors.request_logs.parse import Parser, Requests
from userdb.errors import CollectionError

#: First bytes that a format is detected by.
_HEAD = 512 << 10


class Reading:
    """A log file that is read to its end.

    Attributes:
        stop: decompressed bytes of the lines that were read.
        size: decompressed bytes that there are; more than ``stop`` where the last line is not
            complete.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._counted = _Counted(stream)
        self.stop = 0

    @property
    def size(self) -> int:
        return self._counted.total

    def requests(self, parser: Parser) -> Iterator[Requests]:
        """The requests of each block of lines.

        Raises:
            CollectionError: the file can't be read to its end.
        """
        with _told(self._path):
            for block in read_blocks(self._counted, 0, None):
                yield parser.requests(block)
                self.stop = block.offset + len(block.data)


def time_range(path: Path, parser: Parser) -> tuple[int, int] | None:
    """The earliest and the latest time of a log file's lines, microseconds since 1970; None where
    none has a time.

    Raises:
        CollectionError: the file can't be read to its end.
    """
    with open_log(path) as stream, _told(path):
        found = [
            span
            for block in read_blocks(stream, 0, None)
            if (span := parser.time_range(block)) is not None
        ]
    return (min(first for first, _ in found), max(last for _, last in found)) if found else None


class _Counted:
    """A stream, and how much was read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.total = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.total += len(data)
        return data


@contextmanager
def open_log(path: Path) -> Iterator[BinaryIO]:
    """The decompressed bytes of a log file.

    Raises:
        CollectionError: it can't be read.
    """
    with ExitStack() as stack:
        with _told(path):
            handle = stack.enter_context(path.open("rb"))
            compression = compression_of(handle.read(MAGIC_LENGTH))
            handle.seek(0)
        yield decompressed(handle, compression)


def read_head(path: Path) -> bytes:
    """The first whole lines of a log file; the last one may be incomplete where it is the only.

    Raises:
        CollectionError: it can't be read.
    """
    with open_log(path) as stream, _told(path):
        head = stream.read(_HEAD)
    end = head.rfind(b"\n") + 1
    return head[:end] if end else head + b"\n" if head else b""


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise CollectionError(f"{path} {broken(None, error)}") from None
    except OSError as error:
        raise CollectionError(f"{path} can't be read: {error.strerror or error}") from None
