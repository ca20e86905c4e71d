"""The part of Kubernetes' API that lists pods and their metrics, strict about what it is asked.

There is no cluster to test against. What isn't a GET of these lists with a known query, an Accept
that takes JSON and the right token is answered as an API server answers it.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.pki import server_context

_PATH = re.compile(
    r"(?P<root>/api/v1|/apis/metrics\.k8s\.io/v1beta1)(/namespaces/(?P<namespace>[^/]+))?/pods"
)


@dataclass
class KubernetesApi:
    """``pods`` and ``metrics`` are what it lists; ``asked`` are paths and queries so far.

    ``page`` is the most items of a page, whatever is asked for. ``expire`` pages are answered as
    expired, once each. ``fail`` may answer instead: status and message by path.
    """

    url: str
    token: str
    pods: list[dict[str, Any]]
    metrics: list[dict[str, Any]] | None
    page: int = 500
    expire: int = 0
    fail: Callable[[str], tuple[int, str] | None] = lambda _: None
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)


@contextmanager
def run_kubernetes_api(
    pki: Path,
    pods: Sequence[dict[str, Any]],
    metrics: Sequence[dict[str, Any]] | None,
    *,
    token: str = "a-token",
) -> Iterator[KubernetesApi]:
    """Serve on a free port of 127.0.0.1, with TLS; without ``metrics`` no metrics server runs."""
    api = KubernetesApi("", token, list(pods), None if metrics is None else list(metrics))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query, keep_blank_values=True)
            api.asked.append((parts.path, query))
            try:
                status, body = 200, self._list(parts.path, query)
            except _Status as error:
                status = error.code
                body = {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "status": "Failure",
                    "message": error.message,
                    "code": error.code,
                }
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _list(self, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
            if self.headers.get("Authorization") != f"Bearer {api.token}":
                raise _Status(401, "Unauthorized")
            if (refused := api.fail(path)) is not None:
                raise _Status(*refused)
            if self.headers.get("Accept") != "application/json":
                raise _Status(406, "only the following media types are accepted: application/json")
            match = _PATH.fullmatch(path)
            if match is None:
                raise _Status(404, "the server could not find the requested resource")
            if not set(query) <= {"limit", "continue"} or not query["limit"][0].isdecimal():
                raise _Status(400, f"unable to decode the query {query}")
            is_metrics = match["root"] != "/api/v1"
            if is_metrics and api.metrics is None:
                raise _Status(404, "the server could not find the requested resource")
            items = api.metrics or [] if is_metrics else api.pods
            if match["namespace"]:
                items = [one for one in items if one["metadata"]["namespace"] == match["namespace"]]
            meta: dict[str, Any] = {"resourceVersion": "4711"}
            if not is_metrics:
                # a metrics server knows no pages
                start = _position(query.get("continue", [""])[0])
                if start and api.expire:
                    api.expire -= 1
                    raise _Status(410, "The provided continue parameter is too old")
                end = start + min(int(query["limit"][0]), api.page)
                if end < len(items):
                    meta["continue"] = base64.urlsafe_b64encode(f"at:{end}".encode()).decode()
                    meta["remainingItemCount"] = len(items) - end
                items = items[start:end]
            kind = "PodMetricsList" if is_metrics else "PodList"
            version = "metrics.k8s.io/v1beta1" if is_metrics else "v1"
            return {"kind": kind, "apiVersion": version, "metadata": meta, "items": items}

        def log_message(self, *_args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = server_context(pki).wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    server.block_on_close = False
    api.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Status(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _position(token: str) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("at:"))
    except ValueError:
        raise _Status(400, "continue key is not valid") from None
