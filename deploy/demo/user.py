"""User containers that fail in instructive ways: ``python user.py ROLE``.

shop       a service behind the gateway. /shop/ works, /shop/slow answers after the route's time
           limit, /shop/broken fails with an exception, which it reports
traffic    asks the gateway for all three, over and over
crash      ends with exit code 3 after half a minute, and is started again
memory     takes memory until it is killed
unhealthy  works, and its health check fails after a minute
ends       ends with exit code 1 and isn't started again
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

URL = "http://ingest:8790"
KEY = Path("/demo-key/key")
GATEWAY = "http://gateway:8080"


def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(URL + path, method=method)
    request.add_header("Authorization", f"Bearer {KEY.read_text().strip()}")
    request.add_header("Content-Type", "application/json")
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=10) as answer:
        return json.load(answer)


class Shop(BaseHTTPRequestHandler):
    """Answers /shop/, /shop/slow and /shop/broken."""

    def do_GET(self) -> None:
        if self.path == "/shop/slow":
            time.sleep(4)
        if self.path == "/shop/broken":
            try:
                raise RuntimeError("the demo's shop has lost its price list")
            except RuntimeError as error:
                self.report(error)
                self.send_error(500)
                return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"bread, butter\n")

    def report(self, error: Exception) -> None:
        from include.gateway_client import report_gateway_exception

        report_gateway_exception(str(error), {"path": self.path}, service="demo-shop")

    def log_message(self, *_arguments: Any) -> None:
        pass


def shop() -> None:
    os.environ["MONITORING_URL"] = URL
    os.environ["MONITORING_API_KEY"] = KEY.read_text().strip()
    threading.Thread(target=keep_registered, daemon=True).start()
    ThreadingHTTPServer(("", 8000), Shop).serve_forever()


def keep_registered() -> None:
    instance = {"service": "demo-shop", "address": "demo-shop", "port": 8000, "ttl_s": 60}
    route = {"name": "demo-shop", "path": "/shop", "service": "demo-shop", "timeout_s": 2}
    while True:
        try:
            call("POST", "/register/", instance)
            call("POST", "/routes/", route)
        except urllib.error.HTTPError as error:
            if error.code != 409:  # the route is there already
                print(error, error.read(), flush=True)
        except OSError as error:
            print(error, flush=True)
        time.sleep(20)


def traffic() -> None:
    number = 0
    while True:
        number += 1
        path = {5: "/shop/slow", 8: "/shop/broken"}.get(number % 10, "/shop/")
        with suppress(OSError):  # failing is what it is for
            urllib.request.urlopen(GATEWAY + path, timeout=10).close()
        time.sleep(0.5)


def crash() -> None:
    time.sleep(30)
    sys.exit(3)


def memory() -> None:
    taken = []
    while True:
        taken.append(bytearray(os.urandom(1 << 20)))
        time.sleep(0.1)


def unhealthy() -> None:
    Path("/tmp/healthy").touch()
    time.sleep(60)
    Path("/tmp/healthy").unlink()
    threading.Event().wait()


def ends() -> None:
    time.sleep(5)
    sys.exit(1)


ROLES: dict[str, Callable[[], None]] = {
    role.__name__: role for role in (shop, traffic, crash, memory, unhealthy, ends)
}

if __name__ == "__main__":
    ROLES[sys.argv[1]]()
