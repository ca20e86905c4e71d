"""Label sets, stored once each and known by their fingerprint."""

from __future__ import annotations

import hashlib
import json
import operator
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, Insert, select, update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from userdb.models import Series

Labels = Mapping[str, str]

#: SQLite allows 32,766 bound values in a statement, MySQL 65,535.
_BATCH = 5000


def fingerprint(labels: Labels) -> str:
    """16 hex digits that identify a label set. An empty value equals an absent label."""
    present = {name: value for name, value in labels.items() if value}
    text = json.dumps(present, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def intern_series(
    connection: Connection, family: str, label_sets: Iterable[Labels]
) -> dict[str, int]:
    """Return the series id of each label set by fingerprint, storing the ones that are new."""
    wanted = {
        fingerprint(labels): {name: value for name, value in labels.items() if value}
        for labels in label_sets
    }
    found = _ids(connection, family, list(wanted))
    # sorted, so that processes which intern the same ones lock them in the same order
    missing = [mark for mark in sorted(wanted) if mark not in found]
    if missing:
        connection.execute(
            _insert_new(connection),
            [{"family": family, "fingerprint": mark, "labels": wanted[mark]} for mark in missing],
        )
        found |= _ids(connection, family, missing)
    return found


def _insert_new(connection: Connection) -> Insert:
    if connection.dialect.name == "sqlite":
        return sqlite_insert(Series).on_conflict_do_nothing()
    # INSERT IGNORE would also turn errors into silently changed data
    return mysql_insert(Series).on_duplicate_key_update(family=Series.family)


def _ids(connection: Connection, family: str, marks: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for at in range(0, len(marks), _BATCH):
        rows = connection.execute(
            select(Series.fingerprint, Series.id).where(
                Series.family == family, Series.fingerprint.in_(marks[at : at + _BATCH])
            )
        )
        found.update((row.fingerprint, row.id) for row in rows)
    return found


def lock_series(connection: Connection, ids: Iterable[int]) -> None:
    """Make who writes samples of the same series wait. SQLite's transaction is a lock already."""
    wanted = sorted(set(ids))
    if connection.dialect.name == "sqlite" or not wanted:
        return
    connection.execute(
        select(Series.id).where(Series.id.in_(wanted)).order_by(Series.id).with_for_update()
    ).all()


def touch_series(connection: Connection, spans: Mapping[int, tuple[int, int]]) -> None:
    """Widen the known life of series: id → (first minute, last minute) with a sample."""
    if not spans:
        return
    table = Series
    for column, at, wider in (
        (table.first_minute, 0, operator.gt),
        (table.last_minute, 1, operator.lt),
    ):
        # series of one collection share few minutes: one statement a minute, not one a series
        by_minute: dict[int, list[int]] = defaultdict(list)
        for series, minutes in spans.items():
            by_minute[int(minutes[at])].append(int(series))
        for minute, ids in sorted(by_minute.items()):
            for start in range(0, len(ids), _BATCH):
                connection.execute(
                    update(table)
                    .where(
                        table.id.in_(sorted(ids)[start : start + _BATCH]),
                        column.is_(None) | wider(column, minute),
                    )
                    .values({column: minute})
                )
