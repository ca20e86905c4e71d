"""What userdb knows of signals, as the matrices that scorers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from sqlalchemy import Connection, Select, Table, func, or_, select

from monitoring.scoring.facts import Selection
from monitoring.scoring.matrix import SignalMatrix, build_matrix
from userdb.ledger import covered_minutes
from userdb.models import Base, Series
from userdb.read import read_columns
from userdb.store import Store

#: Above so many series, rows are read for all of them and chosen in memory.
_MAX_NAMED_SERIES = 500


class UserdbFacts:
    """The minutes that userdb holds, read on one connection, so as part of its transaction."""

    def __init__(self, store: Store, connection: Connection) -> None:
        self._store = store
        self._connection = connection

    def matrix(self, selection: Selection, first: int, stop: int, memory: int = 0) -> SignalMatrix:
        """See ``monitoring.scoring.facts.Facts``."""
        connection, family = self._connection, selection.family
        table = Base.metadata.tables[family.table]
        columns = selection.columns
        # also those that are long over: when a group was first seen must not depend on the range
        series = _series(connection, selection, stop)
        groups = {row.id: row.group for row in series if row.last >= first - memory}
        first_seen: dict[tuple[str, ...], int] = {}
        for row in series:
            first_seen[row.group] = min(row.first, first_seen.get(row.group, row.first))
        return build_matrix(
            _rows(self._store, connection, table, columns, groups, first, stop),
            signals=selection.signals,
            group_of_series=groups,
            first=first,
            stop=stop,
            covered=covered_minutes(connection, family.collector, first - memory, stop),
            last_before=_last_samples(connection, table, columns, groups, first, memory),
            first_seen=first_seen,
        )


@dataclass(frozen=True)
class _Series:
    """A series that is selected: its group, and the minutes of its first and last sample ever."""

    id: int
    group: tuple[str, ...]
    first: int
    last: int


def _series(connection: Connection, selection: Selection, stop: int) -> list[_Series]:
    """Each series that is selected and that had a sample before ``stop``."""
    rows = connection.execute(
        select(Series.id, Series.labels, Series.first_minute, Series.last_minute).where(
            Series.family == selection.family.name, Series.first_minute < stop
        )
    )
    return [
        _Series(
            row.id,
            selection.group(row.labels),
            row.first_minute,
            row.last_minute,
        )
        for row in rows
        if selection.selects(row.labels)
    ]


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
