"""What userdb knows of signals, as the matrices that scorers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, Table, select

from monitoring.scoring.facts import Selection
from monitoring.scoring.matrix import NEVER, SignalMatrix
from monitoring.scoring.minutes import FamilyMinutes, lay_out
from userdb.bulk_read import read_minutes
from userdb.ledger import family_covered
from userdb.models import Base, Series
from userdb.read import read_columns
from userdb.store import Store

#: Above so many series, rows are read for all of them and chosen in memory.
_MAX_NAMED_SERIES = 500
#: From so many minutes on, reading in bulk is faster than a cursor.
_LONG = 6 * 60


class UserdbFacts:
    """The minutes that userdb holds, read on one connection, so as part of its transaction."""

    def __init__(self, store: Store, connection: Connection) -> None:
        self._store = store
        self._connection = connection

    def matrix(self, selection: Selection, first: int, stop: int, memory: int = 0) -> SignalMatrix:
        """See ``monitoring.scoring.facts.Facts``."""
        minutes = load_minutes(self._store, self._connection, [selection], first, stop, memory)
        return minutes.matrix(selection, first, stop, memory)


def load_minutes(
    store: Store,
    connection: Connection,
    selections: Sequence[Selection],
    first: int,
    stop: int,
    memory: int,
) -> FamilyMinutes:
    """The minutes [first, stop) of all that the selections, of one family, look at.

    Coverage and last samples reach back by ``memory`` minutes besides.
    """
    family = selections[0].family
    table = Base.metadata.tables[family.table]
    gauges = frozenset(
        name
        for selection in selections
        for signal in selection.signals
        if signal.kind == "gauge"
        for name in signal.columns
    )
    names = list(dict.fromkeys(name for one in selections for name in one.columns))
    series = selected_series(connection, selections, first - memory, stop)
    position = {one.id: at for at, one in enumerate(series)}
    minute, column, rows = _rows(store, connection, table, names, position, first, stop)
    columns, sampled = lay_out(minute, column, rows, gauges, (stop - first, len(series)))
    return FamilyMinutes(
        first,
        [one.labels for one in series],
        columns,
        sampled,
        family_covered(connection, family.name, first - memory, stop),
        _last_samples(connection, table, names, position, first, memory),
    )


@dataclass(frozen=True)
class _Series:
    id: int
    labels: dict[str, str]


def selected_series(
    connection: Connection, selections: Sequence[Selection], first: int, stop: int
) -> list[_Series]:
    """Each series that is selected and that has samples around the range, by labels."""
    rows = connection.execute(
        select(Series.id, Series.labels).where(
            Series.family == selections[0].family.name,
            Series.first_minute < stop,
            Series.last_minute >= first,
        )
    )
    found = [
        _Series(row.id, row.labels)
        for row in rows
        if any(one.selects(row.labels) for one in selections)
    ]
    return sorted(found, key=lambda one: sorted(one.labels.items()))


Values = NDArray[np.float64] | NDArray[np.int64]


def _rows(
    store: Store,
    connection: Connection,
    table: Table,
    names: Sequence[str],
    position: dict[int, int],
    first: int,
    stop: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[str, Values]]:
    """Rows of the range: minute from ``first``, position of the series, and the columns."""
    if not position:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, dict.fromkeys(names, nothing)
    wanted = ["minute", "series_id", *names]
    few = sorted(position) if len(position) <= _MAX_NAMED_SERIES else None
    rows: dict[str, Any]
    if stop - first >= _LONG:
        rows = dict(
            read_minutes(store, table, wanted, first, stop, series=few, connection=connection)
        )
    else:
        query: Select[tuple[int, ...]] = select(*(table.c[name] for name in wanted)).where(
            table.c.minute >= first, table.c.minute < stop
        )
        if few is not None:
            query = query.where(table.c.series_id.in_(few))
        frame = read_columns(store, query, connection=connection)
        rows = {name: frame[name].to_numpy() for name in wanted}
    at = np.full(max(*position, rows["series_id"].max(initial=0)) + 1, -1, dtype=np.int64)
    at[list(position)] = list(position.values())
    column = at[rows["series_id"]]
    chosen = column >= 0
    if not chosen.all():
        column = column[chosen]
        rows = {name: values[chosen] for name, values in rows.items()}
    return rows["minute"] - first, column, {name: rows[name] for name in names}


def _last_samples(
    connection: Connection,
    table: Table,
    names: Sequence[str],
    position: dict[int, int],
    first: int,
    memory: int,
) -> dict[str, NDArray[np.int64]]:
    """For each column the last minute with a value in [first - memory, first), by series."""
    found = {name: np.full(len(position), NEVER) for name in names}
    if not memory or not position:
        return found
    nullable = [name for name in names if table.c[name].nullable]
    groups = [[name] for name in nullable]
    if len(nullable) < len(names):  # every row has a value in one of the others
        groups.append([name for name in names if name not in nullable])
    # from the newest row back, series by series: the table may hold days of minutes of each
    newest = (
        select(table.c.minute)
        .where(
            table.c.series_id == Series.id,
            table.c.minute >= first - memory,
            table.c.minute < first,
        )
        .order_by(table.c.minute.desc())
        .limit(1)
        .correlate(Series)
    )
    wanted = [
        newest.where(table.c[group[0]].is_not(None)) if group[0] in nullable else newest
        for group in groups
    ]
    query = select(Series.id, *(one.scalar_subquery() for one in wanted))
    ids = sorted(position)
    for at in range(0, len(ids), _MAX_NAMED_SERIES):
        for row in connection.execute(query.where(Series.id.in_(ids[at : at + _MAX_NAMED_SERIES]))):
            for group, minute in zip(groups, row[1:], strict=True):
                if minute is not None:
                    for name in group:
                        found[name][position[row[0]]] = minute
    return found
