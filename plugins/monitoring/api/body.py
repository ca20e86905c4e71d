"""Request bodies: unpacked where they are gzip, and never larger than stated."""

from __future__ import annotations

import zlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitoring.api.problems import problem

#: Most bytes of a body, as it comes and when unpacked.
MAX_BYTES = 5 * 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class BodyLimit:
    """ASGI middleware: answers 413 to bodies over ``max_bytes``, and hands on plain ones.

    What is packed may grow to ``max_bytes`` too: whoever unpacks more holds it in memory. An
    encoding other than gzip is answered with 415, a body that is not what it says with 400.
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        encoding = headers.get("content-encoding", "identity").lower()
        if length.isdecimal() and int(length) > self._max_bytes:
            await self._too_large()(scope, receive, send)
            return
        if encoding not in ("identity", "gzip"):
            refusal = problem(415, f"Content-Encoding {encoding} is not supported: gzip, or none")
            await refusal(scope, receive, send)
            return
        if encoding == "gzip":
            scope = {**scope, "headers": list(scope["headers"])}
            plain = MutableHeaders(scope=scope)
            del plain["content-encoding"]
            del plain["content-length"]
        body = _Body(receive, self._max_bytes, packed=encoding == "gzip")
        await self._app(scope, body.receive, send)

    def _too_large(self) -> ASGIApp:
        return problem(413, _too_large(self._max_bytes))


class _Body:
    """A request's body on its way to the app."""

    def __init__(self, receive: Receive, max_bytes: int, *, packed: bool) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._size = 0
        self._unpack = zlib.decompressobj(_GZIP) if packed else None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        chunk: bytes = message.get("body", b"")
        if self._unpack is not None:
            chunk = self._unpacked(chunk, last=not message.get("more_body", False))
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise HTTPException(413, _too_large(self._max_bytes))
        return {**message, "body": chunk}

    def _unpacked(self, chunk: bytes, *, last: bool) -> bytes:
        assert self._unpack is not None
        out = b""
        try:
            while chunk:
                # one byte more than allowed is enough to know
                room = self._max_bytes - self._size - len(out) + 1
                out += self._unpack.decompress(chunk, max(room, 1))
                if len(out) + self._size > self._max_bytes:
                    return out
                # what follows a member's end is the next member
                chunk = self._unpack.unused_data
                if self._unpack.eof and chunk:
                    self._unpack = zlib.decompressobj(_GZIP)
        except zlib.error:
            raise HTTPException(400, "the body is not gzip, as its Content-Encoding says") from None
        if last and not self._unpack.eof:
            raise HTTPException(400, "the body's gzip data ends in its middle")
        return out


def _too_large(max_bytes: int) -> str:
    return f"the body is larger than {max_bytes:,} bytes: send less at once"
