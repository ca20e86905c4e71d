"""Points in time: aware in Python, UTC with microseconds in the database, minutes since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from userdb.errors import NaiveDatetimeError
from userdb.models import NotificationGroup
from userdb.store import Store
from userdb.times import from_minute, require_aware, to_minute

NAIVE = datetime(2026, 1, 31, 10, 0)
SHANGHAI = timezone(timedelta(hours=8))


def test_naive_datetimes_are_refused() -> None:
    with pytest.raises(
        NaiveDatetimeError, match=r"window start 2026-01-31T10:00:00 has no time zone; give an"
    ):
        require_aware(NAIVE, "window start")
    with pytest.raises(NaiveDatetimeError):
        to_minute(NAIVE)


def test_naive_datetimes_do_not_reach_the_database(store: Store) -> None:
    row = {"receiver": "r", "group_key": "g", "told": {}, "updated_at": NAIVE}
    with pytest.raises(NaiveDatetimeError, match="has no time zone"):
        store.write(lambda connection: connection.execute(insert(NotificationGroup), [row]))
    with pytest.raises(NaiveDatetimeError), store.read() as connection:
        connection.execute(select(NotificationGroup).where(NotificationGroup.updated_at < NAIVE))


def test_what_is_stored_is_the_same_point_in_time_in_utc(store: Store) -> None:
    at = datetime(2026, 1, 31, 10, 0, 59, 999999, tzinfo=SHANGHAI)
    row = {"receiver": "r", "group_key": "g", "told": {}, "updated_at": at}
    store.write(lambda connection: connection.execute(insert(NotificationGroup), [row]))
    with store.read() as connection:
        found = connection.scalars(
            select(NotificationGroup.updated_at).where(
                NotificationGroup.updated_at == at,
                NotificationGroup.updated_at < at.replace(hour=11),
            )
        ).one()
    assert found == at
    assert found.tzinfo is UTC


@given(st.datetimes(timezones=st.just(UTC) | st.just(SHANGHAI)))
def test_a_minute_holds_its_time(at: datetime) -> None:
    start = from_minute(to_minute(at))
    assert start <= at < start + timedelta(minutes=1)
    assert to_minute(start) == to_minute(at)
