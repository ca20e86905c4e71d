"""Migrations: what they make is what the models say, and one runs at a time."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, Table, event, select, text
from sqlalchemy import types as sqltypes

from tests.servers.mariadb import MariaDbServer
from userdb.errors import SchemaError
from userdb.migrate import VERSION_TABLE, _config, current, head, require_current, upgrade
from userdb.models import Base
from userdb.store import Store, open_store

#: The revisions before this code's, from which somebody may upgrade.
EARLIER = [
    script.revision
    for script in ScriptDirectory.from_config(_config()).walk_revisions()
    if script.revision != head()
]


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite'}"
    server: MariaDbServer = request.getfixturevalue("mariadb_server")
    return server.create_database("userdb_migrations")


def _definitions(connection: Connection) -> dict[str, list[str]]:
    """CREATE statements by name, as the database itself tells them."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        found = {row.name: row.sql for row in rows}
    else:
        tables = connection.execute(text("SHOW TABLES")).scalars().all()
        found = {
            name: connection.execute(text(f"SHOW CREATE TABLE `{name}`")).one()[1]
            for name in tables
        }
    return {name: _normal(sql) for name, sql in found.items() if name != VERSION_TABLE}


def _normal(statement: str) -> list[str]:
    """The clauses of a CREATE statement, in any order: that of indexes is nobody's business."""
    # the models can't know the server's exact collation: test_exact_text.py looks at it
    statement = re.sub(
        r" AUTO_INCREMENT=\d+|( CHARACTER SET utf8mb4)? COLLATE[= ]utf8mb4_(nopad_)?bin",
        "",
        statement,
    )
    # SQLite writes a column that was added behind the last one, in its line
    clauses = re.split(r"\n|, (?=[a-z_]+ [A-Z])", statement)
    return sorted(clause.strip().rstrip(",") for clause in clauses)


def test_alembic_sees_no_difference_to_the_models(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_definitions_are_those_of_the_models(empty_url: str) -> None:
    """Table options and WITHOUT ROWID, which Alembic doesn't compare."""
    store = open_store(empty_url)
    upgrade(store)
    with store.read() as connection:
        migrated = _definitions(connection)
    store.write(Base.metadata.drop_all)
    store.write(Base.metadata.create_all)
    with store.read() as connection:
        assert migrated == _definitions(connection)
    store.close()


def test_upgrade_from_nothing_and_again(empty_url: str) -> None:
    store = open_store(empty_url)
    assert current(store) is None
    with pytest.raises(SchemaError, match=r"has no schema yet.*monitoring db upgrade"):
        require_current(store)
    assert upgrade(store) == head() == current(store)
    require_current(store)
    assert upgrade(store) == head()
    store.close()


def _row_of_each_table(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Insert one row into each table of the schema that is there, and read them back."""
    metadata = MetaData()
    metadata.reflect(connection)
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, table in metadata.tables.items():
        if name == VERSION_TABLE:
            continue
        values: dict[str, Any] = {column.name: _value(column) for column in table.columns}
        connection.execute(table.insert(), values)
        found = connection.execute(select(table)).mappings()
        rows[name] = [dict(row) for row in found]
    return rows


def _value(column: Column[Any]) -> object:
    if isinstance(column.type, sqltypes.DateTime):
        return datetime(2026, 3, 1, 10, 0)
    if isinstance(column.type, sqltypes.LargeBinary):
        return b"1"
    # which is JSON too
    return "1" if isinstance(column.type, sqltypes.String) else 1


@pytest.mark.parametrize("revision", EARLIER)
def test_an_upgrade_from_any_earlier_revision_keeps_every_row(
    empty_url: str, revision: str
) -> None:
    store = open_store(empty_url)
    with store.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    assert current(store) == revision
    stored = store.write(_row_of_each_table)
    assert len(stored) >= 22
    upgrade(store)
    with store.read() as connection:
        for name, rows in stored.items():
            table = Table(name, MetaData(), autoload_with=connection)
            found = connection.execute(select(*(table.c[column] for column in rows[0]))).mappings()
            assert [dict(row) for row in found] == rows, name
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, Base.metadata) == []
    store.close()


@pytest.mark.mariadb
def test_a_server_run_that_was_interrupted_is_taken_up(mariadb_server: MariaDbServer) -> None:
    """MySQL commits each statement: what an interrupted run leaves is some of the tables."""
    store = open_store(mariadb_server.create_database("userdb_migrations"))
    upgrade(store)
    with store.read() as connection:
        whole = _definitions(connection)
    mariadb_server.execute(
        "USE userdb_migrations",
        f"DROP TABLE {VERSION_TABLE}",
        "DROP TABLE source_file",
        "DROP INDEX ix_alert_resolved_at ON alert",
    )
    assert current(store) is None
    upgrade(store)
    with store.read() as connection:
        assert _definitions(connection) == whole
    store.close()


@pytest.mark.mariadb
def test_columns_that_an_interrupted_run_left_out_are_added(mariadb_server: MariaDbServer) -> None:
    store = open_store(mariadb_server.create_database("userdb_migrations"))
    upgrade(store)
    with store.read() as connection:
        whole = _definitions(connection)
    mariadb_server.execute(
        "USE userdb_migrations",
        f"UPDATE {VERSION_TABLE} SET version_num = '0005'",
        "ALTER TABLE container_sample DROP COLUMN wrong_limit, DROP COLUMN cpu_limit_cores",
    )
    upgrade(store)
    with store.read() as connection:
        assert _definitions(connection) == whole
    store.close()


def test_a_schema_newer_than_the_code_is_refused(store: Store) -> None:
    def make_newer(revision: str) -> None:
        statement = text(f"UPDATE {VERSION_TABLE} SET version_num = :revision")
        store.write(lambda connection: connection.execute(statement, {"revision": revision}))

    make_newer("9999")
    for refused in (upgrade, require_current):
        with pytest.raises(SchemaError, match=r"schema 9999.*doesn't know.*newer version"):
            refused(store)
    assert current(store) == "9999"
    make_newer(head())  # the schema is shared by the tests


def test_a_failed_migration_says_what_it_stumbled_over(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'other.sqlite'}")
    store.write(lambda connection: connection.execute(text("CREATE TABLE series (theirs TEXT)")))
    with pytest.raises(SchemaError, match=r"from nothing to \w+ failed: .*series.*upgrade` again"):
        upgrade(store)
    # SQLite rolls all of it back
    assert current(store) is None
    with store.read() as connection:
        assert list(_definitions(connection)) == ["series"]
    store.close()


def test_processes_that_migrate_at_once_wait_for_each_other(empty_url: str) -> None:
    code = (
        "import sys; from userdb.migrate import upgrade; from userdb.store import open_store; "
        "print(upgrade(open_store(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, empty_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        out, error = process.communicate(timeout=120)
        assert (process.returncode, out.strip()) == (0, head()), error


@pytest.mark.mariadb
def test_a_migration_waits_for_the_servers_lock(
    mariadb_server: MariaDbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("userdb.migrate._LOCK_SECONDS", 1)
    store = open_store(mariadb_server.create_database("userdb_migrations"))
    with store.engine.connect() as other:
        name = text("SELECT GET_LOCK(CONCAT('userdb_migrate_', MD5(DATABASE())), 5)")
        assert other.scalar(name) == 1
        with pytest.raises(SchemaError, match="another migration"):
            upgrade(store)
    store.close()
    assert upgrade(open_store(mariadb_server.url("userdb_migrations"))) == head()


@pytest.mark.mariadb
def test_a_long_migration_keeps_its_lock_where_idle_connections_are_ended_soon(
    mariadb_server: MariaDbServer,
) -> None:
    mariadb_server.create_database("userdb_migrations")
    store = _hasty_store(mariadb_server)
    with store.engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0007")
    with mariadb_server.root() as reader, ThreadPoolExecutor(2) as pool:
        # as long as it reads a table, that can't be altered
        with reader.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT COUNT(*) FROM userdb_migrations.request_log")
        runs = [pool.submit(upgrade, one) for one in (store, _hasty_store(mariadb_server))]
        time.sleep(2.5)
        running = [row[0] for row in mariadb_server.query(_RUNNING)]
        reader.rollback()
        assert [run.result(60) for run in runs] == [head(), head()]
    assert sorted(statement.split()[0] for statement in running) == ["ALTER", "SELECT"]
    assert sum("GET_LOCK" in statement for statement in running) == 1


_RUNNING = (
    "SELECT info FROM information_schema.processlist "
    "WHERE db = 'userdb_migrations' AND command = 'Query'"
)


def _hasty_store(server: MariaDbServer) -> Store:
    """Its connections end when they were idle for a second."""
    store = open_store(server.url("userdb_migrations"))

    @event.listens_for(store.engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION wait_timeout = 1")

    return store


@pytest.mark.mariadb
def test_who_waited_for_the_lock_sees_the_revision(mariadb_server: MariaDbServer) -> None:
    store = open_store(mariadb_server.create_database("userdb_migrations"))
    other = open_store(mariadb_server.url("userdb_migrations"))
    seen = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def _before(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if "RELEASE_LOCK" in statement:
            seen.append(current(other))

    upgrade(store)
    assert seen == [head()]
    other.close()
    store.close()
