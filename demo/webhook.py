"""The administrators' end: an HTTP receiver that keeps every message it gets."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from demo.processes import LOOPBACK


@dataclass(frozen=True)
class Message:
    """A webhook call: when it came, its headers in lower case, its JSON, and the answer."""

    received_at: datetime
    headers: dict[str, str]
    payload: dict[str, Any]
    answered: int

    @property
    def status(self) -> str:
        """firing or resolved."""
        return str(self.payload.get("status", "?"))

    @property
    def alerts(self) -> list[dict[str, Any]]:
        alerts = self.payload.get("alerts")
        return alerts if isinstance(alerts, list) else []


class Receiver:
    """A webhook receiver on a free port.

    It turns its first ``refusals`` messages away with 503, as a receiver that is being
    restarted does.
    """

    def __init__(self, refusals: int = 0) -> None:
        self._messages: list[Message] = []
        self._refusals = refusals
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                status = receiver.take(
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(length),
                )
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="webhook", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/alerts"

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Keep a message; the HTTP status to answer with."""
        try:
            payload = json.loads(body)
        except ValueError:
            return 400
        if not isinstance(payload, dict):
            return 400
        with self._lock:
            refused = self._refusals > 0
            self._refusals -= refused
            status = 503 if refused else 200
            self._messages.append(Message(datetime.now(UTC), headers, payload, status))
            return status

    def messages(self) -> list[Message]:
        """All messages so far, oldest first, refused ones too."""
        with self._lock:
            return list(self._messages)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
