"""The collation of userdb's text: exact."""

from __future__ import annotations

from sqlalchemy import Dialect
from sqlalchemy.dialects.mysql.base import MySQLDialect


def exact_collation(dialect: Dialect) -> str:
    """The server's collation that tells all strings apart, also ``Sim`` and ``Sim`` with a space.

    utf8mb4_bin, which both servers have, pads with spaces before it compares. Needs a dialect
    that has seen its server, so that of a connection.
    """
    mariadb = isinstance(dialect, MySQLDialect) and dialect.is_mariadb
    return "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"
