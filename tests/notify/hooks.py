"""Web hooks that really listen, and behave as they are told: well, badly, or not at all."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """A message that reached the hook."""

    key: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def payload(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def names(self) -> list[tuple[str, str]]:
        """Each alert's service and status."""
        return [(one["labels"]["service"], one["status"]) for one in self.payload["alerts"]]


#: Answers a request that was read whole; the number counts requests from 0.
Behaviour = Callable[["Handler", int], None]


@dataclass
class Hook:
    """A listening hook: what it got, and how it answers."""

    behave: Behaviour
    received: list[Received] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    @property
    def keys(self) -> list[str]:
        return [one.key for one in self.received]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # an answer in two packets would wait for the client's delayed acknowledgement
    disable_nagle_algorithm = True
    hook: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        got = Received(
            self.headers.get("Idempotency-Key", ""), dict(self.headers), body, time.monotonic()
        )
        with self.hook.lock:
            number = len(self.hook.received)
            self.hook.received.append(got)
        with contextlib.suppress(OSError):
            self.hook.behave(self, number)

    def log_message(self, *_args: object) -> None:
        """Quiet."""

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def raw(self, data: bytes) -> None:
        """Send bytes as they are, and close."""
        self.wfile.write(data)
        self.wfile.flush()
        self.hang_up()

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def answer(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    return lambda handler, _number: handler.reply(status, body, **headers)


def answers(*statuses: int, **headers: str) -> Behaviour:
    """One status after another; the last one goes on."""
    return lambda handler, number: handler.reply(
        statuses[min(number, len(statuses) - 1)], b"", **headers
    )


def garbage(handler: Handler, _number: int) -> None:
    handler.raw(b"\x00\xff this is not HTTP\r\n\r\n")


def never(handler: Handler, _number: int) -> None:
    handler.hook.over.wait(30)
    handler.close_connection = True


def drip(handler: Handler, _number: int) -> None:
    """A byte of the status line every tenth of a second: no read ever times out."""
    for byte in b"HTTP/1.1 200 OK\r\n" * 20:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        if handler.hook.over.wait(0.1):
            break
    handler.close_connection = True


def close_before_status(handler: Handler, _number: int) -> None:
    handler.hang_up()


def close_within_status(handler: Handler, _number: int) -> None:
    handler.raw(b"HTTP/1.")


def close_within_body(status: int) -> Behaviour:
    return lambda handler, _number: handler.raw(
        f"HTTP/1.1 {status} X\r\nContent-Length: 100\r\n\r\nhalf".encode()
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: object) -> None:
        """Quiet: clients that break off are what these tests are about."""


@contextmanager
def listening(
    behave: Behaviour | None = None, *, tls: ssl.SSLContext | None = None
) -> Iterator[Hook]:
    """A hook on a free port of 127.0.0.1; by default it takes everything."""
    hook = Hook(behave or answer(200, b"thanks"))
    handler = type("BoundHandler", (Handler,), {"hook": hook})
    server = _Server(("127.0.0.1", 0), handler)
    if tls is not None:
        hook.scheme = "https"
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    hook.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hook
    finally:
        hook.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
