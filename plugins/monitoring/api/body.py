"""Request bodies: unpacked where they are packed, and never larger than stated."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitoring.api.problems import problem
from monitoring.api.unpack import UNPACKERS, Unpacker

#: Most bytes of a body, as it comes and when unpacked.
MAX_BYTES = 5 * 1024 * 1024


class BodyLimit:
    """ASGI middleware: answers 413 to bodies over ``max_bytes``, and hands on plain ones.

    What is packed may grow to ``max_bytes`` too: whoever unpacks more holds it in memory. An
    encoding other than gzip and br is answered with 415, a body that is not what it says with 400.
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
        if encoding != "identity" and encoding not in UNPACKERS:
            known = ", ".join(UNPACKERS)
            refusal = problem(
                415, f"Content-Encoding {encoding} is not supported: {known}, or none"
            )
            await refusal(scope, receive, send)
            return
        unpacker = None
        if encoding in UNPACKERS:
            unpacker = UNPACKERS[encoding]()
            scope = {**scope, "headers": list(scope["headers"])}
            plain = MutableHeaders(scope=scope)
            del plain["content-encoding"]
            del plain["content-length"]
        body = _Body(receive, self._max_bytes, encoding, unpacker)
        await self._app(scope, body.receive, send)

    def _too_large(self) -> ASGIApp:
        return problem(413, _too_large(self._max_bytes))


class _Body:
    """A request's body on its way to the app."""

    def __init__(
        self, receive: Receive, max_bytes: int, encoding: str, unpacker: Unpacker | None
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._size = 0
        self._encoding = encoding
        self._unpacker = unpacker

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        chunk: bytes = message.get("body", b"")
        if self._unpacker is not None:
            chunk = self._unpacked(self._unpacker, chunk)
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise HTTPException(413, _too_large(self._max_bytes))
        last = not message.get("more_body", False)
        if last and self._unpacker is not None and not self._unpacker.complete():
            raise HTTPException(400, f"the body's {self._encoding} data ends in its middle")
        return {**message, "body": chunk}

    def _unpacked(self, unpacker: Unpacker, chunk: bytes) -> bytes:
        try:
            return unpacker.feed(chunk, self._max_bytes - self._size)
        except ValueError:
            raise HTTPException(
                400, f"the body is not {self._encoding}, as its Content-Encoding says"
            ) from None


def _too_large(max_bytes: int) -> str:
    return f"the body is larger than {max_bytes:,} bytes: send less at once"
