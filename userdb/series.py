"""Label sets, stored once each and known by their fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, bindparam, select, update

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
    missing = [mark for mark in sorted(wanted) if mark not in found]
    if missing:
        insert = Series.__table__.insert()  # type: ignore[attr-defined]
        insert = insert.prefix_with(
            "OR IGNORE" if connection.dialect.name == "sqlite" else "IGNORE"
        )
        connection.execute(
            insert,
            [{"family": family, "fingerprint": mark, "labels": wanted[mark]} for mark in missing],
        )
        found |= _ids(connection, family, missing)
    return found


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


def touch_series(connection: Connection, spans: Mapping[int, tuple[int, int]]) -> None:
    """Widen the known life of series: id → (first minute, last minute) with a sample."""
    if not spans:
        return
    rows = [
        {"series": series, "first": first, "last": last}
        for series, (first, last) in sorted(spans.items())
    ]
    table = Series
    connection.execute(
        update(table)
        .where(
            table.id == bindparam("series"),
            table.first_minute.is_(None) | (table.first_minute > bindparam("first")),
        )
        .values(first_minute=bindparam("first")),
        rows,
    )
    connection.execute(
        update(table)
        .where(
            table.id == bindparam("series"),
            table.last_minute.is_(None) | (table.last_minute < bindparam("last")),
        )
        .values(last_minute=bindparam("last")),
        rows,
    )
