"""Bounded traffic to the demo's gateway, and a count of what its clients saw.

Only the loopback address is ever called, at a fixed rate and with a fixed number of requests
under way: when they are all waiting, further ones are held back instead of piling up.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle

from demo.processes import LOOPBACK
from demo.routes import ADMIN, route_of

#: What the chain calls the outcomes of requests.
OUTCOMES = ("ok", "client_error", "auth_failure", "timeout", "server_error")


@dataclass(frozen=True)
class Call:
    """One request. A client gives up after ``patience`` seconds."""

    method: str
    path: str
    body: Mapping[str, object] | None = None
    account: tuple[str, str] | None = None
    patience: float = 20.0


_RUN = Call("POST", "/simulations/", {"model": "pendulum"})
_RESULT = Call("GET", "/simulations/7/result")
_IMPATIENT = Call("GET", "/simulations/7/result", patience=0.4)
_FILE = Call("GET", "/files/41")
_NO_FILE = Call("GET", "/files/none")
_LOGIN = Call("POST", "/sessions/", {"password": "right"})
_MISTYPED = Call("POST", "/sessions/", {"password": "wrong"})
_ADMIN = Call("GET", "/admin/users", account=ADMIN)
_GUESS = Call("GET", "/admin/users", account=(ADMIN[0], "12345"))

#: A good day: 404s and mistyped passwords happen on one, too.
HEALTHY = (
    (_RUN, _FILE, _RESULT, _LOGIN, _FILE, _RUN, _ADMIN, _FILE, _RESULT, _FILE, _RUN, _LOGIN) * 4
    + (_RUN, _FILE, _RESULT, _NO_FILE, _FILE, _RUN, _ADMIN, _FILE, _RESULT, _FILE, _RUN, _MISTYPED)
)  # fmt: skip
#: Clients that give up before the gateway does, and someone who guesses the admin's password.
INCIDENT = (
    _RUN, _FILE, _IMPATIENT, _LOGIN, _GUESS, _RUN, _ADMIN, _FILE, _RESULT, _GUESS, _RUN, _FILE,
    _LOGIN, _GUESS, _RESULT,
)  # fmt: skip


def outcome_of(status: int) -> str:
    """The chain's outcome of a request that was answered with ``status``."""
    if status in (401, 403):
        return "auth_failure"
    if status in (408, 499, 504):
        return "timeout"
    if status >= 500:
        return "server_error"
    return "client_error" if status >= 400 else "ok"


@dataclass
class Tally:
    """Requests by (route, outcome), as the clients saw them."""

    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: not sent, because too many were under way
    held_back: int = 0
    #: refused or broken off: the gateway may not know of them
    broken: int = 0

    @property
    def requests(self) -> int:
        return self.seen.total()

    def by_outcome(self) -> dict[str, int]:
        return {
            outcome: sum(count for (_, kind), count in self.seen.items() if kind == outcome)
            for outcome in OUTCOMES
        }

    def copy(self) -> Tally:
        return Tally(Counter(self.seen), self.held_back, self.broken)


class Traffic:
    """Clients of the gateway on ``port``: ``rate`` requests a second, one at a time begun."""

    def __init__(self, port: int, *, rate: float = 12.0, max_in_flight: int = 48) -> None:
        self.port = port
        self.rate = rate
        self.max_in_flight = max_in_flight
        self._calls: Iterator[Call] = cycle(HEALTHY)
        self._places = threading.Semaphore(max_in_flight)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._tally = Tally()
        self._clock = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._pool = ThreadPoolExecutor(max_in_flight, thread_name_prefix="client")

    def start(self) -> None:
        self._clock.start()

    def follow(self, calls: tuple[Call, ...]) -> None:
        """Send ``calls``, over and over, from now on."""
        self._calls = cycle(calls)

    def stop(self) -> Tally:
        """Send no more, wait for those under way; what was seen in all."""
        self._stopping.set()
        if self._clock.ident is not None:
            self._clock.join()
        self._pool.shutdown(wait=True)
        return self.tally()

    def tally(self) -> Tally:
        """What was seen until now."""
        with self._lock:
            return self._tally.copy()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            # after a stall it goes on at its rate: it never makes up for lost time in a burst
            due = max(due, time.monotonic() - 1 / self.rate) + 1 / self.rate
            if self._places.acquire(blocking=False):
                self._pool.submit(self._call, next(self._calls))
            else:
                with self._lock:
                    self._tally.held_back += 1

    def _call(self, call: Call) -> None:
        try:
            outcome = self._send(call)
            route = route_of(call.path)
            with self._lock:
                if outcome is None:
                    self._tally.broken += 1
                else:
                    self._tally.seen[route.name if route else "", outcome] += 1
        finally:
            self._places.release()

    def _send(self, call: Call) -> str | None:
        headers = {"User-Agent": "monitoring-demo", "Content-Type": "application/json"}
        if call.account:
            token = base64.b64encode(":".join(call.account).encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=call.patience)
        try:
            body = None if call.body is None else json.dumps(call.body)
            connection.request(call.method, call.path, body, headers)
            response = connection.getresponse()
            response.read()
        except TimeoutError:
            return "timeout"
        except (OSError, http.client.HTTPException):
            return None
        else:
            return outcome_of(response.status)
        finally:
            connection.close()
