"""Compressed logs: known by their first bytes, whatever their names say."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

_BUFFER = 1 << 20


class BrokenZstd(Exception):
    """A zstd file that can't be read to its end."""


#: What reading a broken file raises.
BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, BrokenZstd)


@dataclass(frozen=True)
class Compression:
    name: str
    suffix: str
    magic: bytes


GZIP = Compression("gzip", ".gz", b"\x1f\x8b")
ZSTD = Compression("zstd", ".zst", b"\x28\xb5\x2f\xfd")
COMPRESSIONS = (GZIP, ZSTD)
#: First bytes that tell a compression.
MAGIC_LENGTH = max(len(one.magic) for one in COMPRESSIONS)


def compression_of(first: bytes) -> Compression | None:
    """The compression of a file that begins with ``first``."""
    return next((one for one in COMPRESSIONS if first.startswith(one.magic)), None)


def decompressed(handle: BinaryIO, compression: Compression | None) -> BinaryIO:
    """The bytes of ``handle``, which stands at its start and stays open; None: they are plain.

    Reading raises one of ``BROKEN`` where they can't be decompressed.
    """
    if compression is None:
        return handle
    if compression is GZIP:
        return io.BufferedReader(gzip.GzipFile(fileobj=handle, mode="rb"))
    return io.BufferedReader(_Zstd(handle), _BUFFER)


class _Zstd(io.RawIOBase):
    """A stream of zstd frames."""

    def __init__(self, handle: BinaryIO) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(_Kept(handle), mode="r"), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._stream.read(len(buffer))
        except OSError as error:
            raise BrokenZstd(str(error)) from None
        buffer[: len(data)] = data
        return len(data)


class _Kept:
    """A handle that Arrow does not close with its stream."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return self._handle.read(size)

    def close(self) -> None:
        self.closed = True
