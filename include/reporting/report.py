"""``report_event``, and the reporter that a process uses unless it makes its own."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from datetime import UTC, datetime
from typing import Any

from include.reporting.event import build_event
from include.reporting.reporter import Reporter
from include.reporting.spool import SpoolTransport, default_spool
from include.reporting.userdb_transport import UserdbTransport

logger = logging.getLogger("monitoring.reporting")
_lock = threading.Lock()
_current: tuple[tuple[str, ...], Reporter, UserdbTransport] | None = None
#: Reporters of a parent process: collecting them could close sockets that the parent still uses.
_inherited: list[Reporter] = []


def default_reporter() -> Reporter:
    """userdb, else the spool, as the environment names them now; one for the process."""
    global _current  # noqa: PLW0603  # one reporter a process, or each event would connect anew
    key = (
        os.environ.get("USERDB_URL", ""),
        os.environ.get("AIRFLOW_CONN_USERDB", ""),
        str(default_spool()),
    )
    with _lock:
        if _current is None or _current[0] != key:
            if _current is not None:
                _current[2].close()
            direct = UserdbTransport()
            _current = (key, Reporter([direct, SpoolTransport()]), direct)
        return _current[1]


def _forget_after_fork() -> None:
    global _lock, _current  # noqa: PLW0603
    # another thread of the parent may have held this lock, or one inside the reporter
    _lock = threading.Lock()
    if _current is not None:
        _inherited.append(_current[1])
        _current = None


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
