"""An nginx of the tests' own: scratch folder, free port on 127.0.0.1, both log formats."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from include.collectors.request_logs.formats.nginx_json import LOG_FORMAT

#: The account of /admin/, as auth_basic_user_file takes it.
_ACCOUNT = "operator:{PLAIN}demo\n"

_CONFIGURATION = """
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
{log_format}
    access_log {folder}/json.log monitoring;
    access_log {folder}/combined.log combined;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_read_timeout 1s;
    proxy_set_header Host $host;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
        location /down/ {{ proxy_pass http://127.0.0.1:{closed}; }}
        location /forbidden/ {{ deny all; }}
        location /admin/ {{
            auth_basic admin;
            auth_basic_user_file {folder}/users;
            proxy_pass http://127.0.0.1:{upstream};
        }}
    }}
}}
"""


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

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the gateway gave up first

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@dataclass(frozen=True)
class Nginx:
    """A running gateway. Its logs are ``json.log`` and ``combined.log`` in ``folder``."""

    port: int
    folder: Path
    pid: int

    def get(self, path: str, **headers: str) -> int:
        """The status of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
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

    def send_raw(self, data: bytes) -> None:
        """Send bytes that need be no HTTP, and read what comes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(data)
            while client.recv(4096):
                pass

    def reload(self) -> None:
        """Read the configuration again; old workers answer what they have begun."""
        os.kill(self.pid, signal.SIGHUP)

    def reopen_logs(self) -> None:
        """What a rotation does after renaming."""
        os.kill(self.pid, signal.SIGUSR1)


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def run_nginx() -> Iterator[Nginx]:
    """Start nginx and an upstream, and end both."""
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    try:
        with nginx_folder() as folder:
            (folder / "users").write_text(_ACCOUNT)
            configuration = _CONFIGURATION.format(
                folder=folder,
                log_format=LOG_FORMAT,
                port=port,
                upstream=upstream.server_address[1],
                closed=free_port(),
            )
            with started_nginx(folder, configuration, port) as server:
                yield server
    finally:
        upstream.shutdown()
        upstream.server_close()


@contextmanager
def nginx_folder() -> Iterator[Path]:
    """A scratch folder that nginx's workers, who run as another user, may read."""
    folder = Path(tempfile.mkdtemp(prefix="nginx-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started_nginx(folder: Path, configuration: str, port: int) -> Iterator[Nginx]:
    """Start nginx with ``configuration``, which listens on ``port``, and end it."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    program = shutil.which("nginx", path=path)
    if program is None:
        raise RuntimeError("nginx is not installed: apt-get install nginx-light")
    (folder / "nginx.conf").write_text(configuration)
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(folder / "nginx.conf")], stdout=out, stderr=out
        )
    try:
        _wait(port, process, folder)
        yield Nginx(port, folder, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    "nginx did not start:\n" + (folder / "out").read_text(errors="replace")
                ) from None
            time.sleep(0.05)
