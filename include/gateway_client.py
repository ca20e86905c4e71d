"""Report exceptions of business code to the monitoring chain.

    from include.gateway_client import report_exceptions, report_gateway_exception

    report_gateway_exception("simulation 42 failed", {"job": 42})

    @report_exceptions(service="sim-engine")
    def simulate(): ...

    logging.getLogger("business").addHandler(GatewayExceptionHandler())

Needs the standard library, requests and SQLAlchemy (with PyMySQL for a server) alone, so that
users' own containers can install it. Nothing here raises an error of its own, and nothing waits
long: where events can't be delivered, they go to a spool file and are delivered later.

Environment: MONITORING_URL and MONITORING_API_KEY (the API that takes events), else USERDB_URL
(the database that does), MONITORING_SPOOL (folder of the spool, default ``var/spool``),
MONITORING_SERVICE and MONITORING_INSTANCE (labels of this process; the instance is the host's name
by default). docs/reporting.md has them all.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from datetime import UTC, datetime
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import TracebackType
from typing import Any, TypeVar, cast

from include.reporting.exceptions import fingerprint
from include.reporting.once import report_once
from include.reporting.report import report_event
from include.reporting.reporter import is_reporting

__all__ = ["GatewayExceptionHandler", "report_exceptions", "report_gateway_exception"]

F = TypeVar("F", bound=Callable[..., Any])

_SOURCE = "gateway_client"


def report_gateway_exception(
    message: str,
    detail: dict[str, Any] | None = None,
    level: str = "error",
    *,
    service: str | None = None,
    instance: str | None = None,
    occurred_at: datetime | None = None,
    event_id: str | None = None,
) -> str:
    """Report a failure of business code, and return the event's id.

    Never raises. Called while an exception is handled, the event also tells its type and stack.

    Args:
        message: what failed, for people.
        detail: anything that JSON can hold.
        level: info, warning, error or critical.
        service, instance: where; by default MONITORING_SERVICE, and MONITORING_INSTANCE or the
            host's name.
        occurred_at: when, with a time zone; by default now.
        event_id: at most 64 characters; an event reported twice under one id is stored once.
    """
    return report_event(
        "gateway",
        _SOURCE,
        message,
        detail,
        level,
        service=service,
        instance=instance,
        occurred_at=occurred_at,
        event_id=event_id,
        exception=sys.exception(),
    )


class report_exceptions:  # used like contextlib.suppress
    """Report exceptions that leave a block or a function: a context manager and a decorator.

    As a decorator it takes functions, coroutine functions, generators and asynchronous
    generators (which then receive no values by ``asend``). An exception that passes several of
    these is reported once, by the innermost. Exits and cancellations are not exceptions.

    Args:
        service, instance: see ``report_gateway_exception``.
        level: info, warning, error or critical.
        message: default is the exception's type and text.
        detail: stored beside the exception.
        reraise: false swallows the exception; a decorated function then returns None.
    """

    def __init__(
        self,
        *,
        service: str | None = None,
        instance: str | None = None,
        level: str = "error",
        message: str | None = None,
        detail: dict[str, Any] | None = None,
        reraise: bool = True,
    ) -> None:
        self._labels = {"service": service, "instance": instance}
        self._level = level
        self._message = message
        self._detail = detail
        self._reraise = reraise

    def __enter__(self) -> report_exceptions:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        report_once(error, _SOURCE, self._message, self._detail, self._level, **self._labels)
        return not self._reraise

    async def __aenter__(self) -> report_exceptions:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        wrapped: Callable[..., Any]
        if iscoroutinefunction(function):

            @wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

        elif isasyncgenfunction(function):

            @wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
                with self:
                    async with aclosing(function(*args, **kwargs)) as items:
                        async for item in items:
                            yield item

        elif isgeneratorfunction(function):

            @wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
                with self:
                    return (yield from function(*args, **kwargs))

        else:

            @wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return function(*args, **kwargs)

        return cast(F, wrapped)


class GatewayExceptionHandler(logging.Handler):
    """Reports log records, by default from ERROR up, with the exception that they carry.

    What this project logs while it reports is not reported, nor is an exception that
    ``report_exceptions`` has reported.
    """

    def __init__(
        self,
        level: int | str = logging.ERROR,
        *,
        service: str | None = None,
        instance: str | None = None,
    ) -> None:
        super().__init__(level)
        self._labels = {"service": service, "instance": instance}

    def emit(self, record: logging.LogRecord) -> None:
        if is_reporting():
            return
        try:
            text = record.getMessage()
        except Exception:
            # the arguments don't fit the format: the format is what can be kept
            text = str(record.msg)
        try:
            detail = {
                "logger": record.name,
                "function": record.funcName,
                "line": record.lineno,
                "path": record.pathname,
                "thread": record.threadName,
                "process": record.process,
            }
            given: dict[str, Any] = {
                **self._labels,
                "occurred_at": datetime.fromtimestamp(record.created, UTC),
            }
            error = record.exc_info[1] if record.exc_info else None
            if error is not None:
                report_once(error, _SOURCE, text, detail, _level_name(record.levelno), **given)
            else:
                given["fingerprint"] = fingerprint(record.name, str(record.msg))
                report_event("gateway", _SOURCE, text, detail, _level_name(record.levelno), **given)
        except Exception:
            self.handleError(record)


def _level_name(number: int) -> str:
    if number >= logging.CRITICAL:
        return "critical"
    if number >= logging.ERROR:
        return "error"
    return "warning" if number >= logging.WARNING else "info"
