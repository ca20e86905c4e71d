"""What MySQL 8.4 would be sent: there is none where the tests run, and MariaDB takes more."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.dialects import mysql

_DIALECT: Any = mysql.dialect()
# what it finds out when it connects to 8.0.20 or newer
_DIALECT.server_version_info = (8, 4, 0)
_DIALECT._requires_alias_for_on_duplicate_key = True
_UPSERT = " AS new ON DUPLICATE KEY UPDATE "


def ambiguous_names(statement: mysql.Insert) -> list[str]:
    """Columns that an upsert takes values from without saying whether they are the stored row's or
    the new one's: MySQL refuses them, as they are both's (error 1052)."""
    _, upsert, updates = str(statement.compile(dialect=_DIALECT)).partition(_UPSERT)
    assert upsert, "not an upsert as MySQL 8.4 gets it"
    values = re.sub(r"(^|, )`?\w+`? = ", " ", updates)
    return re.findall(r"(?<![\w.`%])`?[a-z_]\w*`?(?![\w.(`])", values)


def refuse_ambiguous_names(engine: Engine) -> None:
    """Fail where an upsert is sent that MySQL would refuse."""

    @event.listens_for(engine, "before_execute")
    def _check(_connection: Any, statement: Any, *_others: Any) -> None:
        if isinstance(statement, mysql.Insert) and statement._post_values_clause is not None:
            assert ambiguous_names(statement) == [], str(statement)
