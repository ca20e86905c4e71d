"""Nodes that are pulled: real ones with a userdb of their own, and one that does what it's told."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn
from monitoring.api.app import create_app
from monitoring.api.store import get_store
from monitoring.keys import create_key
from starlette.types import ASGIApp, Receive, Scope, Send

from include.collectors.pull.settings import PullNode
from userdb.store import Store


@contextmanager
def run_node(name: str, store: Store, *, delay_s: float = 0.0) -> Iterator[PullNode]:
    """The API over ``store`` on a real server, each answer ``delay_s`` late; how to pull it."""
    _, key = create_key(store, "puller", ["read"], by="test", now=datetime.now(UTC))
    app = create_app.__wrapped__(login=None)  # each node an app of its own
    app.dependency_overrides[get_store] = lambda: store
    server = uvicorn.Server(uvicorn.Config(_late(app, delay_s), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            yield PullNode.model_validate({"name": name, "url": url, "key": key})
        finally:
            server.should_exit = True
            thread.join()


def _late(app: ASGIApp, delay_s: float) -> ASGIApp:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and delay_s:
            await asyncio.sleep(delay_s)
        await app(scope, receive, send)

    return late


def page(items: list[Any], **given: Any) -> bytes:
    """A page as a node answers it, with what is ``given`` instead."""
    whole = {
        "items": items,
        "cursor": "end",
        "more": False,
        "covered": [],
        "node_time": datetime.now(UTC).isoformat(),
    }
    return json.dumps(whole | given).encode()


#: Answers a request: its kind, and the handler to write to.
Answer = Callable[[str, BaseHTTPRequestHandler], bytes | None]


@contextmanager
def run_scripted_node(name: str, answer: Answer) -> Iterator[PullNode]:
    """A node whose every answer is what ``answer`` returns as a body, or writes itself."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answer(self.path.partition("?")[0].rpartition("/")[2], self)
            if body is not None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # who pulled has had enough
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield PullNode.model_validate({"name": name, "url": url, "key": "secret-of-tests"})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
