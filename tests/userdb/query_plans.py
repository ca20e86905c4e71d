"""What the database says of how it would run statements that were really sent to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event, text

from userdb.store import Store

#: A server that looks at fewer rows of a table than this looks at few of it.
FEW = 1000
_EXPLAINED = ("SELECT", "UPDATE", "DELETE", "WITH")


@dataclass
class Statements:
    """The distinct statements that were sent, each with what it was first sent with."""

    found: dict[str, Any] = field(default_factory=dict)

    def add(self, statement: str, parameters: Any, many: bool) -> None:
        # how many values a list has is no other statement
        shape = re.sub(r"\((?:\s*(?:\?|%s)\s*,?)+\)", "(...)", statement)
        if statement.lstrip(" (").startswith(_EXPLAINED) and shape not in self._shapes:
            self._shapes.add(shape)
            self.found[statement] = parameters[0] if many else parameters

    _shapes: set[str] = field(default_factory=set)


@contextmanager
def recorded(store: Store) -> Iterator[Statements]:
    """What is sent to the store's database meanwhile."""
    statements = Statements()

    def note(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        statements.add(statement, parameters, many)

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(store.engine, "before_cursor_execute", note)


@dataclass(frozen=True)
class Scan:
    """A statement that looks at all of a table, or of an index of it."""

    table: str
    how: str
    statement: str
    parameters: Any

    def __str__(self) -> str:
        asked = " ".join(self.statement.split())
        return f"{self.table}: {self.how}\n    {asked}\n    {self.parameters}"


def scans(store: Store, statements: Statements, big: frozenset[str]) -> list[Scan]:
    """Where a table of ``big`` is scanned."""
    found: list[Scan] = []
    with store.read() as connection:
        for statement, parameters in statements.found.items():
            names = {alias: table for table, alias in re.findall(r"(\w+) AS (\w+)", statement)}
            prefix = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
            rows = connection.exec_driver_sql(f"{prefix} {statement}", parameters).mappings().all()
            for row in rows:
                scan = _sqlite(row) if store.is_sqlite else _server(row)
                if store.is_sqlite and _stops_early(statement, rows):
                    continue
                if scan is not None and names.get(scan[0], scan[0]) in big:
                    found.append(Scan(names.get(scan[0], scan[0]), scan[1], statement, parameters))
    return found


def _stops_early(statement: str, plan: Any) -> bool:
    """Whether rows come in the order that is wanted, and no more of them than are wanted."""
    sorts = any("TEMP B-TREE" in row["detail"] for row in plan)
    return not sorts and re.search(r"LIMIT (\?|\d)", statement) is not None


def _sqlite(row: Any) -> tuple[str, str] | None:
    match = re.match(r"SCAN (\w+)", row["detail"])
    return None if match is None else (match[1], row["detail"])


def _server(row: Any) -> tuple[str, str] | None:
    if row["type"] not in ("ALL", "index") or int(row["rows"] or 0) < FEW:
        return None
    return row["table"], f"{row['type']} {row['key'] or ''} {row['rows']} rows, {row['Extra']}"


def analyze(store: Store, tables: frozenset[str]) -> None:
    """Let a server count its rows. SQLite plans without, as it does in operation."""
    if not store.is_sqlite:
        with store.engine.connect() as connection:
            for table in sorted(tables):
                connection.execute(text(f"ANALYZE TABLE {table}"))
