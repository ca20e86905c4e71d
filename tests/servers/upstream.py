"""What stands behind the tests' gateways, and how requests are sent to them."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Upstream(BaseHTTPRequestHandler):
    """Answers with the status that the path ends with; /slow/ for longer than the gateway waits."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/slow/"):
            time.sleep(2)
        status = int(self.path.partition("?")[0].rstrip("/").rpartition("/")[2])
        body = b"x" * 10
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the gateway gave up first

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


class _Server(ThreadingHTTPServer):
    #: connections that wait; the default of 5 makes a gateway's wait a second for the next try
    request_queue_size = 128


@contextmanager
def run_upstream() -> Iterator[int]:
    """Start an upstream, and end it; its port."""
    upstream = _Server(("127.0.0.1", 0), _Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    try:
        yield upstream.server_address[1]
    finally:
        upstream.shutdown()
        upstream.server_close()


@dataclass(frozen=True)
class Gateway:
    """A running gateway, whose logs lie in ``folder``."""

    port: int
    folder: Path
    pid: int

    def get(self, path: str, **headers: str) -> int:
        """The status of a request."""
        return self.ask("GET", path, **headers)

    def ask(self, method: str, path: str, **headers: str) -> int:
        """The status of a request, without a body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def give_up(self, path: str, after_s: float) -> None:
        """Send a request and hang up without waiting for its answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
            time.sleep(after_s)

    def send_raw(self, data: bytes) -> bytes:
        """Send bytes that need be no HTTP, and read what comes."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(data)
            while found := client.recv(4096):
                answer += found
        return answer


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str, package: str) -> str:
    """The path of a server's program."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise RuntimeError(f"{name} is not installed: apt-get install {package}")
    return found


@contextmanager
def running(process: subprocess.Popen[bytes], port: int, output: Path) -> Iterator[None]:
    """Wait until ``process`` listens on ``port``, and end it."""
    try:
        _wait(port, process, output)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{process.args!r} did not start:\n{output.read_text(errors='replace')}"
                ) from None
            time.sleep(0.05)
