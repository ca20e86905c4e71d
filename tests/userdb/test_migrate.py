"""Migrations: what they make is what the models say, and one runs at a time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from tests.servers.mariadb import MariaDbServer
from userdb.errors import SchemaError
from userdb.migrate import VERSION_TABLE, current, head, require_current, upgrade
from userdb.models import Base
from userdb.store import Store, open_store


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
    statement = re.sub(r" AUTO_INCREMENT=\d+", "", statement)
    return sorted(line.strip().rstrip(",") for line in statement.splitlines())


def test_alembic_sees_no_difference_to_the_models(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_definitions_are_those_of_the_models(empty_url: str) -> None:
    """Table options, collations and WITHOUT ROWID, which Alembic doesn't compare."""
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
