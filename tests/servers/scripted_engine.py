"""An HTTP server that answers like an engine, with what a test tells it.

For what a real engine can't be made to do: an old API version, a request that hangs, an error.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: A status and a body (an iterator's parts are sent one by one); or a function that returns them,
#: and may take its time.
Answer = tuple[int, Any]
Answers = Mapping[str, Answer | Callable[[], Answer]]


@dataclass
class ScriptedEngine:
    """``answers`` are by path without the version; ``asked`` are paths and queries so far."""

    url: str
    answers: dict[str, Answer | Callable[[], Answer]]
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)


@contextmanager
def run_scripted_engine(
    answers: Answers, *, version: str = "1.41", tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedEngine]:
    """Serve ``answers`` on a free port of 127.0.0.1, with TLS where a context is given."""
    engine = ScriptedEngine("", {"/version": (200, {"ApiVersion": version}), **answers})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path = parts.path.removeprefix(f"/v{version}")
            engine.asked.append((path, parse_qs(parts.query)))
            answer = engine.answers.get(path, (404, {"message": f"no such thing: {path}"}))
            status, body = answer() if callable(answer) else answer
            if isinstance(body, Iterator):
                self._drip(status, body)
                return
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _drip(self, status: int, parts: Iterator[bytes]) -> None:
            self.send_response(status)
            self.send_header("Connection", "close")
            self.end_headers()
            with suppress(OSError):  # whoever asked may not wait for all of it
                for part in parts:
                    self.wfile.write(part)

        def log_message(self, *_args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    server.block_on_close = False
    engine.url = f"tcp://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
