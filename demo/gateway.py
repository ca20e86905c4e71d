"""A gateway for machines without nginx: it proxies the demo's routes and writes nginx's log.

What nginx logs, it logs: 499 where the client gave up first, 504 where the service took too
long, 502 where it could not be reached, 401 where name and password are wrong.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import secrets
import selectors
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from demo.processes import LOOPBACK, stop_on_signals
from demo.routes import ADMIN, UPSTREAM_TIMEOUT_S, route_of

_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
_REASONS = {
    401: "Unauthorized",
    404: "Not Found",
    502: "Bad Gateway",
    504: "Gateway Time-out",
}
_CHUNK = 65536


def log_template(log_format: str) -> str:
    """The text of an nginx ``log_format name escape=json '…' '…';`` without quotes."""
    return "".join(_QUOTED.findall(log_format))


def render_line(template: str, variables: Mapping[str, str]) -> str:
    """A log line, escaped as under ``escape=json``; KeyError for a variable that is not known."""

    def value(match: re.Match[str]) -> str:
        return json.dumps(variables[match[1]], ensure_ascii=False)[1:-1]

    return _VARIABLE.sub(value, template)


@dataclass(frozen=True)
class Answer:
    """What is sent to the client, and what the log says of the service.

    ``status`` 499 sends nothing: nobody is there to read it.
    """

    status: int
    payload: bytes = b""
    upstream_status: str = ""
    upstream_seconds: float | None = None

    @property
    def body_bytes(self) -> int:
        return max(0, len(self.payload) - self.payload.find(b"\r\n\r\n") - 4)


def _own_answer(status: int, *, upstream_status: str = "", seconds: float | None = None) -> Answer:
    body = f"<h1>{status} {_REASONS[status]}</h1>\n".encode()
    challenge = 'WWW-Authenticate: Basic realm="admin"\r\n' if status == 401 else ""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/html\r\n{challenge}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return Answer(status, head.encode() + body, upstream_status, seconds)


class Gateway(ThreadingHTTPServer):
    """Listens on ``port``, proxies to ``upstream_port``, appends to ``log``."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, upstream_port: int, log: Path, log_format: str) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.upstream = (LOOPBACK, upstream_port)
        self.template = log_template(log_format)
        self._log = log.open("ab", buffering=0)

    def write(self, line: str) -> None:
        # one write of one line: threads' lines never mix
        self._log.write(line.encode("utf-8", "surrogateescape") + b"\n")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is in the log already."""

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._log.close()


class _Handler(BaseHTTPRequestHandler):
    server: Gateway
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        started = time.perf_counter()
        self.close_connection = True
        path = self.path.partition("?")[0]
        route = route_of(path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if route is None:
            answer = _own_answer(404)
        elif route.protected and not self._authorised():
            answer = _own_answer(401)
        else:
            answer = self._proxy(body)
        if answer.payload:
            try:
                self.connection.sendall(answer.payload)
            except OSError:
                answer = Answer(499, b"", answer.upstream_status, answer.upstream_seconds)
        self._log(answer, time.perf_counter() - started)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve

    def _authorised(self) -> bool:
        expected = b"Basic " + base64.b64encode(":".join(ADMIN).encode())
        return secrets.compare_digest(self.headers.get("Authorization", "").encode(), expected)

    def _proxy(self, body: bytes) -> Answer:
        began = time.perf_counter()
        try:
            upstream = socket.create_connection(self.server.upstream, timeout=UPSTREAM_TIMEOUT_S)
        except OSError:
            return _own_answer(502, upstream_status="502", seconds=time.perf_counter() - began)
        with upstream:
            upstream.sendall(self._request_head().encode("latin-1") + body)
            received = self._receive(upstream)
        seconds = time.perf_counter() - began
        if received is None:
            return Answer(499, b"", "-", seconds)
        if not received:
            return _own_answer(504, upstream_status="504", seconds=seconds)
        status = re.match(rb"HTTP/1\.[01] (\d{3})", received)
        if status is None or b"\r\n\r\n" not in received:
            return _own_answer(502, upstream_status="502", seconds=seconds)
        return Answer(int(status[1]), received, status[1].decode(), seconds)

    def _request_head(self) -> str:
        kept = [
            f"{name}: {value}"
            for name, value in self.headers.items()
            if name.lower() not in ("connection", "host")
        ]
        target = "{}:{}".format(*self.server.upstream)
        lines = [f"{self.command} {self.path} HTTP/1.0", f"Host: {target}", *kept]
        return "\r\n".join([*lines, "Connection: close", "", ""])

    def _receive(self, upstream: socket.socket) -> bytes | None:
        """All that the service sends; empty when it took too long, None when the client left."""
        received = b""
        with selectors.DefaultSelector() as selector:
            selector.register(upstream, selectors.EVENT_READ)
            selector.register(self.connection, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select(UPSTREAM_TIMEOUT_S)]
                if upstream in ready:
                    try:
                        chunk = upstream.recv(_CHUNK)
                    except OSError:
                        return received or b"?"
                    if not chunk:
                        return received or b"?"
                    received += chunk
                elif self.connection in ready:
                    if self._client_left():
                        return None
                    # a further request on this connection: it is not served, and must not spin
                    selector.unregister(self.connection)
                else:
                    return b""

    def _client_left(self) -> bool:
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _log(self, answer: Answer, seconds: float) -> None:
        proxied = answer.upstream_seconds is not None
        variables = {
            "msec": f"{time.time():.3f}",
            "request_id": secrets.token_hex(16),
            "remote_addr": str(self.client_address[0]),
            "remote_user": self._user(),
            "request_method": self.command,
            "host": self.headers.get("Host", "").partition(":")[0],
            "request_uri": self.path,
            "status": str(answer.status),
            "body_bytes_sent": str(answer.body_bytes),
            "request_time": f"{seconds:.3f}",
            "upstream_addr": "{}:{}".format(*self.server.upstream) if proxied else "",
            "upstream_status": answer.upstream_status,
            "upstream_response_time": f"{answer.upstream_seconds:.3f}" if proxied else "",
            "http_user_agent": self.headers.get("User-Agent", ""),
        }
        self.server.write(render_line(self.server.template, variables))

    def _user(self) -> str:
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            return base64.b64decode(encoded).decode().partition(":")[0]
        except ValueError:
            return ""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing but the access log."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="demo.gateway", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream-port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--log-format", required=True, help="nginx's log_format directive")
    given = parser.parse_args()
    gateway = Gateway(given.port, given.upstream_port, given.log, given.log_format)
    stop_on_signals(gateway.stop)
    gateway.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
