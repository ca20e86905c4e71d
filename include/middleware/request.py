"""What is reported of a request, whatever the framework.

Never bodies, headers, cookies or query strings: they hold secrets.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

from include.reporting.exceptions import fingerprint
from include.reporting.once import is_reported, report_once, summary
from include.reporting.report import report_event, start_delivery

#: Answers that are reported although no exception was seen, and what they are.
_STATUSES = {401: "auth_failure", 403: "auth_failure", 500: "exception", 504: "timeout"}
_LEVELS = {"auth_failure": "warning"}
#: Of clients and pools that don't derive theirs from Python's TimeoutError.
_TIMEOUTS = frozenset({"TimeoutError", "Timeout", "TimeoutException"})


@dataclass
class Request:
    """A request, as far as it is known yet.

    Attributes:
        route: the pattern that it matched, as the framework writes it.
        user: of whom the framework knows it already; never looked up for a report.
        status: of the answer; None where there is none (yet).
    """

    method: str
    path: str
    route: str | None = None
    user: str | None = None
    status: int | None = None
    began: float = field(default_factory=time.perf_counter)

    def detail(self, kind: str) -> dict[str, object]:
        given = asdict(self)
        given["duration_ms"] = round((time.perf_counter() - given.pop("began")) * 1000, 1)
        facts = {name: value for name, value in given.items() if value is not None}
        return {"kind": kind, "request": facts}


class RequestReporter:
    """Reports for one middleware, under its name. Never raises."""

    def __init__(self, source: str, *, service: str | None = None) -> None:
        self._source = source
        self._service = service
        self._started = False

    def start(self) -> None:
        """Begin to deliver what an earlier process left; costs something once."""
        if not self._started:
            self._started = True
            try:
                start_delivery()
            except RuntimeError:
                return  # no thread can be started now: the first event tries again

    def failed(self, request: Request, error: BaseException, *, denied: bool = False) -> None:
        """An exception left the application; or (``denied``) it was made a refusal of access."""
        if not isinstance(error, Exception) or is_reported(error):
            return  # exits and cancellations are no failures
        kind = "auth_failure" if denied else "timeout" if _is_timeout(error) else "exception"
        report_once(
            error,
            self._source,
            f"{request.method} {request.route or request.path}: {summary(error)}",
            request.detail(kind),
            _LEVELS.get(kind, "error"),
            service=self._service,
        )

    def answered(self, request: Request) -> None:
        """The application answered by itself, with ``request.status``."""
        kind = _STATUSES.get(request.status or 0)
        if kind is None:
            return
        report_event(
            "gateway",
            self._source,
            f"{request.method} {request.route or request.path} answered {request.status}",
            request.detail(kind),
            _LEVELS.get(kind, "error"),
            service=self._service,
            # not by path: whoever tries addresses out would make a group of each
            fingerprint=fingerprint(self._source, request.method, request.route or "", kind),
        )


def _is_timeout(error: BaseException) -> bool:
    """Also where another exception was made of it."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return False
        if any(kind.__name__ in _TIMEOUTS for kind in type(seen).__mro__):
            return True
        seen = seen.__cause__
    return False
