"""What userdb knows of a signal, as the matrix that scoring takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import pandas as pd
from sqlalchemy import Connection, Select, Table, func, or_, select

from monitoring.policy.definition import Policy
from monitoring.scoring.matrix import SignalMatrix, build_matrix
from userdb.ledger import covered_minutes
from userdb.models import Base, Series
from userdb.read import read_columns
from userdb.store import Store

#: Above so many series, rows are read for all of them and chosen in memory.
_MAX_NAMED_SERIES = 500


def read_matrix(
    store: Store, connection: Connection, policy: Policy, first: int, stop: int
) -> SignalMatrix:
    """The minutes [first, stop) of the policy's signal, grouped by the policy's labels.

    Coverage and the last samples reach back by the policy's memory besides.
    """
    signal = policy.signal_definition
    table = Base.metadata.tables[signal.family.table]
    memory = policy.memory_minutes
    groups = _groups(connection, policy, first - memory, stop)
    rows = _rows(store, connection, table, signal.columns, groups, first, stop)
    last_before = _last_samples(connection, table, signal.columns, groups, first, memory)
    return build_matrix(
        rows,
        kind=signal.kind,
        columns=signal.columns,
        group_of_series=groups,
        first=first,
        stop=stop,
        covered=covered_minutes(connection, signal.family.collector, first - memory, stop),
        last_before=last_before,
    )


def _groups(
    connection: Connection, policy: Policy, first: int, stop: int
) -> dict[int, tuple[str, ...]]:
    """Group of each series that the policy selects and that has samples around the range."""
    rows = connection.execute(
        select(Series.id, Series.labels).where(
            Series.family == policy.family.name,
            Series.first_minute < stop,
            Series.last_minute >= first,
        )
    )
    return {
        row.id: tuple(row.labels.get(name, "") for name in policy.group_labels)
        for row in rows
        if _selects(policy.where, row.labels)
    }


def _selects(where: Mapping[str, str | list[str]], labels: Mapping[str, str]) -> bool:
    return all(
        any(
            fnmatchcase(labels.get(name, ""), pattern)
            for pattern in ([patterns] if isinstance(patterns, str) else patterns)
        )
        for name, patterns in where.items()
    )


def _rows(
    store: Store,
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    groups: Mapping[int, tuple[str, ...]],
    first: int,
    stop: int,
) -> pd.DataFrame:
    if not groups:
        return pd.DataFrame({name: [] for name in ("minute", "series_id", *columns)}, dtype="int64")
    query: Select[tuple[int, ...]] = select(
        table.c.minute, table.c.series_id, *(table.c[name] for name in columns)
    ).where(table.c.minute >= first, table.c.minute < stop)
    if len(groups) <= _MAX_NAMED_SERIES:
        query = query.where(table.c.series_id.in_(sorted(groups)))
    return read_columns(store, query, connection=connection)


def _last_samples(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    groups: Mapping[int, tuple[str, ...]],
    first: int,
    memory: int,
) -> dict[tuple[str, ...], int]:
    """Last minute with a sample in [first - memory, first), of each group that has one."""
    if not memory or not groups:
        return {}
    rows = connection.execute(
        select(table.c.series_id, func.max(table.c.minute).label("last"))
        .where(
            table.c.series_id.in_(sorted(groups)),
            table.c.minute >= first - memory,
            table.c.minute < first,
            or_(*(table.c[name].is_not(None) for name in columns)),
        )
        .group_by(table.c.series_id)
    )
    last: dict[tuple[str, ...], int] = {}
    for row in rows:
        group = groups[row.series_id]
        last[group] = max(last.get(group, row.last), row.last)
    return last
