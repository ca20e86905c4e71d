"""Declarative base. Table options that hold for every table live here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

#: MySQL's default collation takes `Sim`, `sim` and `Sim ` for one string; label values are exact.
#: utf8mb4_bin still takes the first and the last for one: where servers differ in the name of a
#: collation that doesn't, migrations ask ``userdb.collation``.
TABLE_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
#: For tables whose primary key begins with the time: rows lie in time order on both dialects.
TIME_ORDERED: dict[str, Any] = {**TABLE_OPTIONS, "sqlite_with_rowid": False}


def partitioned(by: str) -> dict[str, Any]:
    """For time-ordered tables with a partition a day on servers; ``userdb.partitions`` makes these.

    Args:
        by: the range, as SQL writes it: ``RANGE (minute)``.
    """
    clause = f"{by} (PARTITION future VALUES LESS THAN (MAXVALUE))"
    return {**TIME_ORDERED, "mysql_partition_by": clause, "mariadb_partition_by": clause}


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    __table_args__: Any = TABLE_OPTIONS
