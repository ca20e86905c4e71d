"""Engine and transactions of userdb.

SQLite: write transactions begin with BEGIN IMMEDIATE (a deferred one that upgrades from read to
write fails at once with "database is locked"), in WAL mode, waiting up to 60 s for the lock.
MySQL: READ COMMITTED. Deadlocks, lock time-outs and lost connections are retried as a whole.

The loop of ``Store.write`` is written here, and not tenacity's, because the client in users' own
containers has no more than SQLAlchemy and a driver.
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
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from userdb.errors import UserdbUnavailable
from userdb.url import UserdbUrl, parse_url, resolve_url

T = TypeVar("T")

_ATTEMPTS = 6
#: No attempt begins later than so many seconds after the first: each may have waited for a lock.
_PATIENCE_S = 100.0
#: Lock wait time-out, deadlock, server shutting down, killed, gone, lost, idle for too long.
_RETRYABLE_CODES = frozenset({1205, 1213, 1053, 1927, 2006, 2013, 4031})
_READ_OPTION = "userdb_read"
#: Connections of a process that stay open, and all that it may have: one for each of the 40 threads
#: that answer HTTP requests. A task needs two.
_KEPT = 5
_MOST = 40
_POOL_PATIENCE_S = 30
#: Older ones are replaced: firewalls between forget connections that are quiet for an hour.
_RECYCLE_S = 1800
#: The same on every server. Above all strict: else text that is too long is cut in silence.
_SQL_MODE = (
    "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION"
)
#: What to do about errors of connecting, by the server's code.
_ADVICE = {
    1044: "Grant the user all rights on that database.",
    1045: "Correct the user or the password.",
    1049: "Create it: CREATE DATABASE … CHARACTER SET utf8mb4.",
    1040: "Raise the server's max_connections, or run fewer tasks at once.",
}


def _code(error: DBAPIError) -> int | None:
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return code if isinstance(code, int) else None


def _is_lost(error: DBAPIError) -> bool:
    return error.connection_invalidated


def _is_retryable(error: DBAPIError) -> bool:
    # SQLite: "database is locked", "database table is locked", "database schema is locked"
    return (
        _is_lost(error)
        or _code(error) in _RETRYABLE_CODES
        or (isinstance(error, OperationalError) and "is locked" in str(error.orig))
    )


def create_userdb_engine(url: URL) -> Engine:
    """An engine set up for userdb. The SQLite file's folder is created."""
    if url.get_backend_name() != "sqlite":
        return create_engine(
            url,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            pool_recycle=_RECYCLE_S,
            pool_size=_KEPT,
            max_overflow=_MOST - _KEPT,
            pool_timeout=_POOL_PATIENCE_S,
            connect_args={
                "connect_timeout": 10,
                "local_infile": 1,
                "init_command": f"SET SESSION sql_mode = '{_SQL_MODE}'",
            },
        )
    assert url.database is not None  # parse_url sees to it
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserdbUnavailable(
            f"userdb's folder {folder} can't be created: {error.strerror}. "
            "Create it, or point USERDB_URL elsewhere."
        ) from error
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
        try:
            with self._connect(reading=True) as connection, connection.begin() as transaction:
                yield connection
                transaction.rollback()
        except DBAPIError as error:
            if not _is_lost(error):
                raise
            raise UserdbUnavailable(
                f"userdb at {self.url} was lost while reading: {_reason(error)}. Try again."
            ) from error

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one write transaction and return what it returns.

        The whole of ``work`` is run again after a deadlock, a lock time-out or a connection that
        was lost before the commit, so it must have no effect outside the transaction.

        Raises:
            UserdbUnavailable: userdb can't be reached, stays locked, or the connection was lost
                during the commit, so that nobody knows whether it was made.
        """
        give_up = time.perf_counter() + _PATIENCE_S
        for attempt in range(1, _ATTEMPTS + 1):
            committing = False
            try:
                with self._connect(reading=False) as connection:
                    transaction = connection.begin()
                    result = work(connection)
                    committing = True
                    transaction.commit()
                    return result
            except DBAPIError as error:
                if committing and _is_lost(error):
                    raise UserdbUnavailable(
                        f"userdb at {self.url} was lost while committing: whether the change was "
                        f"stored is not known ({_reason(error)})."
                    ) from error
                if not _is_retryable(error):
                    raise
                if attempt == _ATTEMPTS or time.perf_counter() > give_up:
                    raise UserdbUnavailable(
                        f"userdb at {self.url} could not be written to in {attempt} attempts: "
                        f"{_reason(error)}. See who holds a long transaction, and try again."
                    ) from error
                time.sleep(random.uniform(0, 0.05 * 2**attempt))
        raise AssertionError("unreachable")

    @contextmanager
    def _connect(self, *, reading: bool) -> Iterator[Connection]:
        """A connection without a transaction, rolled back at the end if one is still open."""
        try:
            connection = self.engine.connect()
        except DBAPIError as error:
            advice = _ADVICE.get(
                _code(error) or 0, "Start the server, or point USERDB_URL at one that runs."
            )
            if self.is_sqlite:
                advice = "Make the file readable and writable, or point USERDB_URL elsewhere."
            raise UserdbUnavailable(
                f"userdb at {self.url} can't be reached: {_reason(error)}. {advice}"
            ) from error
        except PoolTimeout as error:
            raise UserdbUnavailable(
                f"userdb at {self.url} can't be reached: this process has {_MOST} connections, "
                f"and none came free for {_POOL_PATIENCE_S} seconds. Try again when it does less."
            ) from error
        except OSError as error:
            # of the driver itself, which leaves out which file it was
            raise UserdbUnavailable(
                f"userdb at {self.url} can't be reached: {error}. "
                "See to the files that ssl_ca, ssl_cert and ssl_key name."
            ) from error
        except RuntimeError as error:
            # PyMySQL without cryptography, where the server wants a password over plain TCP
            raise UserdbUnavailable(f"userdb at {self.url} can't be reached: {error}") from error
        with connection:
            if reading:
                connection.execution_options(**{_READ_OPTION: True})
            yield connection


def _reason(error: DBAPIError) -> object:
    return error.orig.args[-1] if error.orig is not None and error.orig.args else error


def open_store(url: str | None = None) -> Store:
    """Open userdb: at ``url``, else where ``resolve_url`` says.

    Raises:
        ConfigError: the URL is not usable.
    """
    return Store(UserdbUrl(parse_url(url, "url"), "url") if url else resolve_url())
