"""Column types: aware UTC datetimes, exact strings, JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, LargeBinary, Text
from sqlalchemy.dialects.mysql import DATETIME, DOUBLE, LONGTEXT, MEDIUMBLOB
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.types import Double, TypeDecorator, TypeEngine

from userdb.errors import NaiveDatetimeError
from userdb.times import require_aware


class _NaiveParameter(NaiveDatetimeError, DontWrapMixin):
    """SQLAlchemy passes it on as it is, and doesn't wrap it in a StatementError."""


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware in Python, naive UTC with microseconds in the database."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        try:
            return require_aware(value).replace(tzinfo=None)
        except NaiveDatetimeError as error:
            raise _NaiveParameter(str(error)) from None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


#: SQLite counts up only INTEGER primary keys.
BigId = BigInteger().with_variant(Integer(), "sqlite")
#: Text longer than MySQL's 64 KiB TEXT (stack traces, payloads).
LongText = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
Blob = LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")
Float64: Double[float] = Double().with_variant(DOUBLE(asdecimal=False), "mysql", "mariadb")
Json = JSON(none_as_null=True)
