"""The user's services behind the gateway, as one HTTP process: sim-runner, files, auth, admin.

It can be told to fail: ``PUT /_faults`` with a JSON list of names out of ``FAULTS``.
"""

from __future__ import annotations

import argparse
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from demo.processes import LOOPBACK, stop_on_signals
from include.gateway_client import report_gateway_exception

RESULTS_HANG = "results-hang"
RUNS_FAIL = "runs-fail"
FAULTS = (RESULTS_HANG, RUNS_FAIL)

#: Longer than any gateway waits; a hanging answer ends earlier when the process is stopped.
_HANG_S = 60.0


class SimulationDiverged(RuntimeError):
    """The solver found no solution: the kind of error that business code raises."""


class Services(ThreadingHTTPServer):
    """The services; ``faults`` is what is wrong with them at the moment."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.faults: frozenset[str] = frozenset()
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._runs = 0
        self.reported = 0

    def next_run(self) -> int:
        with self._lock:
            self._runs += 1
            return self._runs

    def count_report(self) -> None:
        with self._lock:
            self.reported += 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client or gateway that hangs up is no error of the services."""

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()


def run_simulation(number: int, *, diverge: bool) -> dict[str, object]:
    """Stands for a user's own code.

    Raises:
        SimulationDiverged: as told.
    """
    total = 0.0
    for step in range(1, 2000):
        total += 1.0 / (step * step)
    if diverge:
        raise SimulationDiverged(f"simulation {number}: residual 3.2e+07 after 2000 steps")
    return {"id": number, "state": "done", "value": round(total, 6)}


class _Handler(BaseHTTPRequestHandler):
    server: Services
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/simulations/") and path.endswith("/result"):
            if RESULTS_HANG in self.server.faults:
                self.server.stopping.wait(_HANG_S)
            self._answer(200, {"state": "done"})
        elif path.startswith("/files/"):
            number = path.rsplit("/", 1)[-1]
            if number.isdigit():
                self._answer(200, {"file": number, "content": "x" * (200 + int(number) % 900)})
            else:
                self._answer(404, {"error": "no such file"})
        elif path.startswith("/admin/"):
            self._answer(200, {"users": 3})
        elif path == "/_faults":
            self._answer(
                200, {"faults": sorted(self.server.faults), "reported": self.server.reported}
            )
        else:
            self._answer(404, {"error": "no such path"})

    def do_POST(self) -> None:
        body = self._body()
        if self.path.startswith("/simulations/"):
            self._simulate()
        elif self.path.startswith("/sessions/"):
            if body.get("password") == "right":
                self._answer(201, {"session": "open"})
            else:
                self._answer(401, {"error": "wrong password"})
        else:
            self._answer(404, {"error": "no such path"})

    def do_PUT(self) -> None:
        faults = self._body()
        if self.path != "/_faults" or not isinstance(faults, list) or set(faults) - set(FAULTS):
            self._answer(400, {"error": f"PUT /_faults takes a JSON list of {', '.join(FAULTS)}"})
            return
        self.server.faults = frozenset(faults)
        self._answer(200, {"faults": sorted(faults)})

    def _simulate(self) -> None:
        number = self.server.next_run()
        try:
            result = run_simulation(number, diverge=RUNS_FAIL in self.server.faults)
        except SimulationDiverged as error:
            report_gateway_exception(
                f"simulation failed: {error}",
                {"simulation": number, "exception_type": type(error).__name__},
                service="sim-runner",
                instance="sim-runner-1",
            )
            self.server.count_report()
            self._answer(500, {"id": number, "state": "failed"})
            return
        self._answer(201, result)

    def _body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        try:
            return json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            return {}

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """The gateway keeps the log."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="demo.upstream", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    server = Services(parser.parse_args().port)
    stop_on_signals(server.stop)
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
