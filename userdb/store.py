"""Engine and transactions of userdb.

SQLite: write transactions begin with BEGIN IMMEDIATE (a deferred one that upgrades from read to
write fails at once with "database is locked"), in WAL mode, waiting up to 60 s for the lock.
MySQL: READ COMMITTED. Deadlocks, lock time-outs and lost connections are retried as a whole.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from userdb.errors import UserdbUnavailable
from userdb.url import UserdbUrl, parse_url, resolve_url

T = TypeVar("T")

_ATTEMPTS = 6
#: MySQL: lock wait time-out, deadlock, server gone, lost connection.
_RETRYABLE_CODES = frozenset({1205, 1213, 2006, 2013, 4031})
_READ_OPTION = "userdb_read"


def _is_retryable(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return code in _RETRYABLE_CODES or "database is locked" in str(error.orig)


def create_userdb_engine(url: URL) -> Engine:
    """An engine set up for userdb. The SQLite file's folder is created."""
    if url.get_backend_name() != "sqlite":
        return create_engine(
            url,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            pool_recycle=1800,
            connect_args={"connect_timeout": 10, "local_infile": 1},
        )
    if url.database and url.database != ":memory:":
        Path(url.database).expanduser().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 60, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: object, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # we emit BEGIN ourselves
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA busy_timeout = 60000")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READ_OPTION)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


class Store:
    """userdb, opened. Cheap to make: no connection is opened before the first use."""

    def __init__(self, url: UserdbUrl) -> None:
        self.url = url
        self.engine = create_userdb_engine(url.url)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a read transaction, rolled back at the end.

        Raises:
            UserdbUnavailable: userdb can't be reached.
        """
        with self._connect(reading=True) as connection:
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one write transaction and return what it returns.

        The whole of ``work`` is run again after a deadlock, a lock time-out or a lost
        connection, so it must have no effect outside the transaction.

        Raises:
            UserdbUnavailable: userdb can't be reached, or stays locked.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._connect(reading=False) as connection:
                    return work(connection)
            except DBAPIError as error:
                if attempt == _ATTEMPTS or not _is_retryable(error):
                    raise
                time.sleep(random.uniform(0, 0.05 * 2**attempt))
        raise AssertionError("unreachable")

    @contextmanager
    def _connect(self, *, reading: bool) -> Iterator[Connection]:
        try:
            connection = self.engine.connect()
        except OperationalError as error:
            reason = error.orig.args[-1] if error.orig is not None and error.orig.args else error
            raise UserdbUnavailable(
                f"userdb at {self.url} can't be reached: {reason}. "
                "Start the server, or point USERDB_URL at one that runs."
            ) from error
        with connection:
            if reading:
                connection.execution_options(**{_READ_OPTION: True})
                with connection.begin() as transaction:
                    yield connection
                    transaction.rollback()
            else:
                with connection.begin():
                    yield connection


def open_store(url: str | None = None) -> Store:
    """Open userdb: at ``url``, else where ``resolve_url`` says.

    Raises:
        ConfigError: the URL is not usable.
    """
    return Store(UserdbUrl(parse_url(url, "url"), "url") if url else resolve_url())
