"""``report_event``, and the reporter that a process uses unless it makes its own."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import sys
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from include.reporting.event import build_event
from include.reporting.http_settings import http_settings
from include.reporting.http_transport import HttpTransport
from include.reporting.reporter import Reporter
from include.reporting.spool import SpoolTransport, default_spool
from include.reporting.userdb_transport import UserdbTransport
from userdb.errors import ConfigError

logger = logging.getLogger("monitoring.reporting")
#: Reentrant: a signal handler may report while this thread reports.
_lock = threading.RLock()
_SETTINGS = (
    "USERDB_URL",
    "AIRFLOW_CONN_USERDB",
    "MONITORING_URL",
    "MONITORING_API_KEY",
    "MONITORING_SPOOL",
    "MONITORING_SPOOL_MAX_MB",
    "MONITORING_DURABLE",
    "MONITORING_QUEUE_SIZE",
    "MONITORING_BATCH_EVENTS",
    "MONITORING_TIMEOUT",
    "MONITORING_FLUSH_TIMEOUT",
)


@dataclass(frozen=True)
class _Default:
    """The reporter of this process, the settings that it was made for, and its first transport."""

    settings: tuple[str | None, ...]
    reporter: Reporter
    first: UserdbTransport | HttpTransport | None


_current: _Default | None = None
#: Whether the interpreter is ending: threads that begin now are not sure to do anything.
_exiting = False
#: Reporters of a parent process: collecting them could close sockets that the parent still uses.
_inherited: list[_Default] = []


def default_reporter() -> Reporter:
    """What the environment names now: MONITORING_URL, else userdb; and the spool for both.

    One for the process, or each event would connect anew.
    """
    return _default().reporter


def flush_events(timeout_s: float = 2.0) -> bool:
    """Wait until what this process has reported is delivered; false where it is not (yet).

    For programs that are about to be frozen or killed: the normal end of a process flushes itself.
    Without MONITORING_URL nothing has to be waited for.
    """
    first = _default().first
    return first.flush(timeout_s) if isinstance(first, HttpTransport) else True


def start_delivery() -> None:
    """Begin to deliver what an earlier process left in the spool, before the first event."""
    first = _default().first
    if isinstance(first, HttpTransport):
        first.start()


def _default() -> _Default:
    global _current  # noqa: PLW0603
    settings = tuple(map(os.environ.get, _SETTINGS))
    current = _current
    if current is not None and current.settings == settings:
        return current
    with _lock:
        if _current is None or _current.settings != settings:
            if _current is not None and isinstance(_current.first, HttpTransport):
                atexit.unregister(_current.first.close)
                _current.first.stop()
            elif _current is not None and _current.first is not None:
                _current.first.close()
            _current = _make(settings)
        return _current


def _make(settings: tuple[str | None, ...]) -> _Default:
    try:
        http = http_settings()
    except ConfigError as error:
        logger.error("events wait in %s: %s", default_spool(), error)
        return _Default(settings, Reporter([SpoolTransport()]), None)
    if http is None:
        direct = UserdbTransport()
        return _Default(settings, Reporter([direct, SpoolTransport()]), direct)
    spool = SpoolTransport(http.spool, max_bytes=http.spool_bytes)
    if _exiting:
        return _Default(settings, Reporter([spool]), None)
    transport = HttpTransport(http)
    # by each process for itself: Airflow's tasks are forks that forget what was registered before
    atexit.register(transport.close)
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        # its children end without the handlers of atexit
        from multiprocessing.util import Finalize

        Finalize(None, transport.close, exitpriority=0)
    return _Default(settings, Reporter([transport, spool]), transport)


def _ending() -> None:
    global _exiting  # noqa: PLW0603
    _exiting = True


def _forget_after_fork() -> None:
    global _lock, _current  # noqa: PLW0603
    # another thread of the parent may have held this lock, or one inside the reporter
    _lock = threading.RLock()
    if _current is not None:
        _inherited.append(_current)
        _current = None


atexit.register(_ending)
os.register_at_fork(after_in_child=_forget_after_fork)


def report_event(
    event_type: str,
    source: str,
    message: Any,
    detail: Any = None,
    level: Any = "error",
    *,
    service: Any = None,
    instance: Any = None,
    container: Any = None,
    occurred_at: Any = None,
    event_id: Any = None,
    exception: BaseException | None = None,
    exception_type: Any = None,
    fingerprint: Any = None,
) -> str:
    """Report an event and return its ``event_id``. Never raises, and never waits long.

    ``service`` is MONITORING_SERVICE where not given, ``instance`` MONITORING_INSTANCE, else the
    host's name; ``occurred_at`` is now, ``event_id`` a new one. An argument that can't be used is
    replaced by what can be kept of it; ``detail["reporting_notes"]`` then says so, and the log.
    """
    mark = uuid.uuid4().hex
    try:
        event, notes = build_event(
            now=datetime.now(UTC),
            event_id=mark if event_id is None else event_id,
            event_type=event_type,
            source=source,
            message=message,
            detail=detail,
            level=level,
            service=os.environ.get("MONITORING_SERVICE") if service is None else service,
            instance=(
                os.environ.get("MONITORING_INSTANCE") or socket.gethostname()
                if instance is None
                else instance
            ),
            container=container,
            occurred_at=occurred_at,
            exception=exception,
            exception_type=exception_type,
            fingerprint=fingerprint,
        )
        if notes:
            logger.warning("event %s was repaired: %s", event.event_id, "; ".join(notes))
        default_reporter().report(event)
        return event.event_id
    except Exception:
        # a reporter must never be what breaks the caller
        logger.exception("an event could not be reported")
        return mark
