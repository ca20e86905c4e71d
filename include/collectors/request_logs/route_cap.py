"""At most so many routes of a source in a minute: requests of the others are counted as one.

What is not grouped by a rule or a table is grouped by its path, and a scanner asks for paths
without end. Which routes are kept depends on the minute's requests alone, not on how a rotation cut
it into files, nor on the windows that read them: those with the most requests in all files of the
source, and of equal ones the first by name. What files said that are there no more is not read
again, and keeps the routes that it has.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from sqlalchemy import exists, select

from userdb.models import RequestMinute, Series, SourceFile
from userdb.models.requests import OTHER_ROUTE
from userdb.store import Store

OTHER = OTHER_ROUTE


@dataclass(frozen=True)
class Folded:
    """What was counted as ``OTHER``: minutes in which there was such, and requests of them."""

    minutes: int
    requests: int


def fold_routes(
    parsed: duckdb.DuckDBPyConnection,
    tables: Collection[str],
    held: pa.Table,
    *,
    limit: int,
    since: int,
) -> Folded:
    """Leave at most ``limit`` routes in each minute of ``tables``, and tell of the others.

    Args:
        tables: counts of the source's files, as ``Parser.parse`` makes them; changed in place.
        held: what ``held_routes`` gave. These are kept first.
        since: minutes before it are folded, and not told of.
    """
    if not tables:
        return Folded(0, 0)
    counted = " UNION ALL ".join(f"SELECT minute, route, requests FROM {name}" for name in tables)
    parsed.register("held", held)
    parsed.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE folded AS
        SELECT minute, route, requests FROM (
            SELECT *, row_number() OVER (PARTITION BY minute ORDER BY requests DESC, route) AS place
            FROM (
                SELECT minute, route, sum(requests)::BIGINT AS requests FROM ({counted})
                WHERE route <> '{OTHER}' GROUP BY ALL
            ) ANTI JOIN held USING (minute, route)
        ) LEFT JOIN (
            SELECT minute, count(*) AS taken FROM held GROUP BY minute
        ) USING (minute)
        WHERE place > {limit} - coalesce(taken, 0)
        """
    )
    parsed.unregister("held")
    ((minutes, requests, any_folded),) = parsed.execute(
        f"""
        SELECT count(DISTINCT minute) FILTER (minute >= {since}),
               coalesce(sum(requests) FILTER (minute >= {since}), 0)::BIGINT, count(*) > 0
        FROM folded
        """
    ).fetchall()
    for name in tables if any_folded else ():
        parsed.execute(
            f"UPDATE {name} SET route = '{OTHER}' FROM folded "
            f"WHERE {name}.minute = folded.minute AND {name}.route = folded.route"
        )
    return Folded(minutes, requests)


def held_routes(
    store: Store, source: str, read: Collection[int], first: int, stop: int
) -> pa.Table:
    """Routes that userdb holds of files of ``source`` beside those that were ``read``.

    Returns:
        Distinct rows of ``minute`` in [first, stop) and ``route``; without ``OTHER``.
    """
    table = RequestMinute
    with store.read() as connection:
        # mostly none: so nothing is read of minutes that need no cap
        others = connection.scalars(
            select(SourceFile.id).where(
                SourceFile.source == source,
                SourceFile.id.not_in(list(read)),
                exists().where(
                    table.file_id == SourceFile.id, table.minute >= first, table.minute < stop
                ),
            )
        ).all()
        rows = [
            (minute, labels["route"])
            for minute, labels in connection.execute(
                select(table.minute, Series.labels)
                .join(Series, Series.id == table.series_id)
                .where(table.file_id.in_(others), table.minute >= first, table.minute < stop)
            )
            if labels.get("route", OTHER) != OTHER
        ]
    found = sorted(set(rows))
    return pa.table(
        {
            "minute": pa.array([minute for minute, _ in found], pa.int64()),
            "route": pa.array([route for _, route in found], pa.string()),
        }
    )
