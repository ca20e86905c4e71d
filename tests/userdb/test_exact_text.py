"""Text is compared exactly: letters' case and spaces at the end count, on both dialects."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select, text

from userdb.models import Base, MonitorEvent, Series
from userdb.series import fingerprint, intern_series
from userdb.store import Store

AT = datetime(2026, 1, 31, tzinfo=UTC)
ALIKE = ["Sim", "sim", "Sim ", "S\u0131m", "Šim"]


def test_strings_that_look_alike_are_different(store: Store) -> None:
    rows = [
        {
            "event_id": name,
            "event_type": "custom",
            "source": name,
            "level": "info",
            "message": "",
            "occurred_at": AT,
            "created_at": AT,
        }
        for name in ALIKE
    ]
    store.write(lambda connection: connection.execute(insert(MonitorEvent), rows))
    with store.read() as connection:
        for name in ALIKE:
            found = connection.scalars(
                select(MonitorEvent.event_id).where(MonitorEvent.source == name)
            ).all()
            assert found == [name]
        assert len(connection.execute(select(MonitorEvent.source).distinct()).all()) == len(ALIKE)


def test_label_sets_that_look_alike_are_different_series(store: Store) -> None:
    sets = [{"service": name} for name in ALIKE]
    ids = store.write(lambda connection: intern_series(connection, "event", sets))
    assert len(set(ids.values())) == len(ALIKE)
    with store.read() as connection:
        labels = {
            row.id: row.labels for row in connection.execute(select(Series.id, Series.labels))
        }
    assert [labels[ids[fingerprint(given)]] for given in sets] == sets


@pytest.mark.mariadb
def test_every_text_column_has_the_exact_collation(mariadb_store: Store) -> None:
    with mariadb_store.read() as connection:
        inexact = connection.execute(
            text(
                "SELECT table_name, column_name, collation_name FROM information_schema.columns "
                "WHERE table_schema = DATABASE() AND collation_name <> 'utf8mb4_nopad_bin' "
                # MariaDB's JSON is a LONGTEXT with a collation of its own
                "AND data_type <> 'longtext'"
            )
        ).all()
    assert [row for row in inexact if row[0] in Base.metadata.tables] == []
