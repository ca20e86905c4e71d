"""Unpacking a body as it comes in, no further than asked."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli


class Unpacker(Protocol):
    """Unpacks one body."""

    def feed(self, chunk: bytes, most: int) -> bytes:
        """What ``chunk`` adds; once that is more than ``most`` bytes, the rest is left out.

        Raises:
            ValueError: the data is not what its encoding says.
        """

    def complete(self) -> bool:
        """Whether the data may end here."""


class Gzip:
    """One gzip member after the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def feed(self, chunk: bytes, most: int) -> bytes:
        out = b""
        try:
            while chunk and len(out) <= most:
                # one byte more than allowed is enough to know
                out += self._member.decompress(chunk, most - len(out) + 1)
                # what follows a member's end is the next member
                chunk = self._member.unused_data
                if self._member.eof and chunk:
                    self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        return out

    def complete(self) -> bool:
        return self._member.eof


class Brotli:
    """What sentry-sdk sends where Python's brotli is installed."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def feed(self, chunk: bytes, most: int) -> bytes:
        out = b""
        try:
            while len(out) <= most:
                out += self._stream.process(chunk, output_buffer_limit=most - len(out) + 1)
                chunk = b""
                if self._stream.can_accept_more_data():
                    break
        except brotli.error as error:
            raise ValueError(str(error)) from None
        return out

    def complete(self) -> bool:
        return bool(self._stream.is_finished())


#: By their name in Content-Encoding.
UNPACKERS: dict[str, Callable[[], Unpacker]] = {"gzip": Gzip, "br": Brotli}
