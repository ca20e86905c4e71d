"""Events straight into userdb, without ever waiting long for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from include.reporting.transport import TransportError
from userdb.errors import MonitoringError
from userdb.events import EventRecord, refuses_row, store_events
from userdb.store import create_userdb_engine
from userdb.url import UserdbUrl, resolve_url

#: Seconds to wait for a connection, for SQLite's lock, and for a free connection.
CONNECT_TIMEOUT_S = 2
#: Seconds to wait for a server's answer.
ANSWER_TIMEOUT_S = 5
#: Threads that write at the same time.
_CONNECTIONS = 5


class UserdbTransport:
    """Writes events to userdb in a transaction a call.

    ``resolve`` says where userdb is; it is asked at the first event, not before.
    """

    def __init__(self, resolve: Callable[[], UserdbUrl] = resolve_url) -> None:
        self._resolve = resolve
        self._lock = Lock()
        self._slots = BoundedSemaphore(_CONNECTIONS)
        self._engine: Engine | None = None
        self._pid = os.getpid()

    def send(self, events: Sequence[EventRecord]) -> None:
        # without this, callers would queue behind others that wait for a server which hangs
        if not self._slots.acquire(timeout=CONNECT_TIMEOUT_S):
            raise TransportError(f"userdb is busy with {_CONNECTIONS} events of this process")
        try:
            with self._connected().begin() as connection:
                store_events(connection, events)
        except DBAPIError as cause:
            raise TransportError(
                f"userdb can't be written to: {cause.orig}", permanent=refuses_row(cause)
            ) from cause
        except SQLAlchemyError as cause:
            raise TransportError(f"userdb can't be written to: {cause}") from cause
        except MonitoringError as cause:
            raise TransportError(str(cause)) from cause
        finally:
            self._slots.release()

    def close(self) -> None:
        """Close the connections; the next event opens new ones."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def _connected(self) -> Engine:
        with self._lock:
            if self._engine is not None and self._pid != os.getpid():
                # a forked child must leave its parent's sockets alone
                self._engine.dispose(close=False)
                self._engine = None
            if self._engine is None:
                self._engine, self._pid = _impatient_engine(self._resolve().url), os.getpid()
            elif self._engine.dialect.name == "sqlite":
                _require_file(self._engine.url)
            return self._engine


def _require_file(url: URL) -> None:
    # SQLite would create an empty database: a reporter is no place to do that
    if url.database and not Path(url.database).exists():
        raise TransportError(f"userdb's file {url.database} does not exist")


def _impatient_engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        _require_file(url)
        engine = create_userdb_engine(url)

        @event.listens_for(engine, "connect")
        def _on_connect(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout = {CONNECT_TIMEOUT_S * 1000}")
            cursor.close()

        return engine
    engine = create_userdb_engine(url)

    @event.listens_for(engine, "do_connect")
    def _on_do_connect(
        _dialect: object, _record: object, _args: object, parameters: dict[str, Any]
    ) -> None:
        parameters.update(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=ANSWER_TIMEOUT_S,
            write_timeout=ANSWER_TIMEOUT_S,
        )
        # a reporter never loads files
        parameters.pop("local_infile", None)

    return engine
