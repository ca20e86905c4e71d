"""One collection of a log source at a time, in whatever process.

The lock spans reading as well as writing: of two collections, the one that read an older state of
a file must not be the last to write it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from userdb.errors import CollectionError
from userdb.store import Store

#: Longer than a collection of a day's log takes.
WAIT_S = 300
#: The lock's connection is idle while its holder reads, and a server may end idle ones soon.
_MAX_IDLE_S = 86_400

log = logging.getLogger(__name__)


@contextmanager
def source_lock(store: Store, source: str, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the lock of a log source of this userdb.

    SQLite: a lock on a file beside the database, which the system releases with the process.
    MySQL: a named lock, which the server releases with the connection. If that is lost, what the
    body did stands, and the log says so.

    Raises:
        CollectionError: another collection holds it for longer than ``wait_s``.
    """
    mark = hashlib.sha256(f"{store.engine.url.database}:{source}".encode()).hexdigest()[:16]
    busy = CollectionError(
        f"request_logs source {source!r}: another collection of it has been running for "
        f"{wait_s:g} s; wait until it has ended, then collect again"
    )
    if not store.is_sqlite:
        name = f"monitoring.request_logs.{mark}"
        with store.engine.connect() as connection:
            # else the connection would hold a transaction open for as long as the lock
            held = connection.execution_options(isolation_level="AUTOCOMMIT")
            if held.scalar(text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": wait_s}):
                try:
                    held.exec_driver_sql(f"SET SESSION wait_timeout = {_MAX_IDLE_S}")
                    yield
                finally:
                    try:
                        held.exec_driver_sql("SET SESSION wait_timeout = DEFAULT")
                        held.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})
                    except DBAPIError as error:
                        log.warning(
                            "request_logs source %r: the connection that held its lock was lost, "
                            "so that another collection of it may have run at the same time; see "
                            "what ends idle connections between here and userdb: %s",
                            source,
                            error.orig,
                        )
                return
        raise busy
    import fcntl

    database = Path(store.engine.url.database or "userdb").expanduser()
    with database.with_name(f"{database.name}.{mark}.lock").open("ab") as file:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise busy from None
                time.sleep(0.05)
        yield
