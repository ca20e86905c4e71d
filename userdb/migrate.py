"""Schema of userdb: Alembic's migrations, run from the installed package, one run at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from userdb.errors import SchemaError
from userdb.store import Store, open_store

#: Alembic's own table, beside the one of whatever else lives in the same database.
VERSION_TABLE = "userdb_version"
#: How long a run waits for another one to end.
_LOCK_SECONDS = 300
#: Alembic's ``context`` and ``op`` are globals of the process.
_process_lock = threading.Lock()


def head() -> str:
    """The revision that this code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def current(store: Store) -> str | None:
    """The revision that userdb is at, or None where it has no schema yet.

    Raises:
        UserdbUnavailable: userdb can't be reached.
    """
    with store.read() as connection:
        return _revision(connection)


@contextmanager
def opened_current() -> Iterator[Store]:
    """The configured userdb, where its schema is the code's; closed at the end.

    Raises:
        SchemaError, UserdbUnavailable: see ``require_current``.
    """
    store = open_store()
    try:
        require_current(store)
        yield store
    finally:
        store.close()


def require_current(store: Store) -> None:
    """Return where userdb's schema is the one that this code needs.

    Raises:
        SchemaError: it is missing, older or newer.
        UserdbUnavailable: userdb can't be reached.
    """
    at, needed = current(store), head()
    if at == needed:
        return
    if at is not None:
        _refuse_newer(store, at)
    state = "has no schema yet" if at is None else f"is at schema {at}"
    raise SchemaError(
        f"userdb at {store.url} {state}, the code needs {needed}; run `monitoring db upgrade`"
    )


def upgrade(store: Store) -> str:
    """Bring userdb's schema to the one of this code, and return its revision.

    Runs that start at once wait for each other. On SQLite all steps are one transaction; MySQL
    commits each statement, and a run that was interrupted is taken up by the next one.

    Raises:
        SchemaError: the schema is newer than the code, a migration failed, or another run held
            the lock for longer than five minutes.
        UserdbUnavailable: userdb can't be reached.
    """
    if store.is_sqlite:
        # the write transaction (BEGIN IMMEDIATE) is the lock
        store.write(lambda connection: _upgrade(store, connection))
    else:
        store.write(lambda connection: _upgrade_alone(store, connection))
    return head()


def _upgrade_alone(store: Store, connection: Connection) -> None:
    # one connection for both: another one would be idle meanwhile, and lost with its lock
    with _server_lock(store, connection):
        _upgrade(store, connection)
        # who waits for the lock must see the revision
        connection.exec_driver_sql("COMMIT")


def _upgrade(store: Store, connection: Connection) -> None:
    at = _revision(connection)
    if at is not None:
        _refuse_newer(store, at)
    config = _config()
    config.attributes["connection"] = connection
    try:
        with _process_lock:
            command.upgrade(config, "head")
    except (CommandError, DBAPIError) as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise SchemaError(
            f"the migration of userdb at {store.url} from {at or 'nothing'} to {head()} failed: "
            f"{reason}. Correct what it names and run `monitoring db upgrade` again."
        ) from error


@contextmanager
def _server_lock(store: Store, connection: Connection) -> Iterator[None]:
    # names of locks are the server's, at most 64 characters
    name = connection.scalar(text("SELECT CONCAT('userdb_migrate_', MD5(DATABASE()))"))
    got = connection.scalar(
        text("SELECT GET_LOCK(:name, :seconds)"), {"name": name, "seconds": _LOCK_SECONDS}
    )
    if got != 1:
        raise SchemaError(
            f"another migration of userdb at {store.url} has been running for "
            f"{_LOCK_SECONDS} seconds; wait for it, or end it, and try again"
        )
    try:
        yield
    finally:
        # a connection that was lost has lost it already
        if not connection.invalidated:
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})


def _config() -> Config:
    config = Config()
    # options are read with interpolation: a percent sign in the path is doubled
    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _refuse_newer(store: Store, at: str) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if at not in known:
        raise SchemaError(
            f"userdb at {store.url} is at schema {at}, which this version of the code doesn't "
            f"know (it needs {head()}): a newer version migrated it. Install that version."
        )
