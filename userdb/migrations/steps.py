"""What migrations are made of. MySQL commits each statement: each step takes up what is there.

A migration that has been released is never changed; the next one changes what it made.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from userdb.collation import exact_collation


def create_table(
    name: str,
    *items: Any,
    indexes: dict[str, list[str]] | None = None,
    time_ordered: bool = False,
) -> None:
    """Create a table with its indexes (columns by index name), or what is missing of it.

    ``time_ordered`` tables are stored in the order of their primary key on SQLite too. A table
    of somebody else's with that name isn't taken up: creating ours fails, and says why.
    """
    inspector = sa.inspect(op.get_bind())
    columns = [item.name for item in items if isinstance(item, sa.Column)]
    found = inspector.get_columns(name) if inspector.has_table(name) else []
    # columns that a later migration added stand behind them
    if [column["name"] for column in found][: len(columns)] != columns:
        options: dict[str, Any] = {"sqlite_with_rowid": False} if time_ordered else {}
        op.create_table(name, *items, **_options(), **options)
    create_indexes(name, indexes or {})


def add_columns(table: str, *columns: sa.Column[Any]) -> None:
    """Add those of the columns that the table lacks; they are null in the rows that are there."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    for column in columns:
        if column.name not in present:
            op.add_column(table, column)


def create_indexes(table: str, indexes: dict[str, list[str]]) -> None:
    """Create those of the table's indexes (columns by index name) that it lacks."""
    present = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}
    for name, columns in indexes.items():
        if name not in present:
            op.create_index(name, table, columns)


def _options() -> dict[str, Any]:
    collation = exact_collation(op.get_bind().dialect)
    return {
        f"{dialect}_{option}": value
        for dialect in ("mysql", "mariadb")
        for option, value in (
            ("engine", "InnoDB"),
            ("charset", "utf8mb4"),
            ("collate", collation),
        )
    }
