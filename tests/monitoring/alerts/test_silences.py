"""Silences in userdb: when they hold, who ended them, and what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from monitoring.alerts.matchers import Matcher
from monitoring.alerts.silences import add_silence, expire_silence, read_silences
from monitoring.alerts.time_intervals import TimeInterval
from sqlalchemy import update

from tests.notify.episodes import NOW, minutes
from userdb.errors import InvalidRequestError, UnknownAlertError
from userdb.models import Silence as Stored

SIM = (Matcher.parse('service="sim"'),)
LABELS = {"service": "sim"}


def add(store, **fields):
    given = {"starts_at": NOW, "ends_at": NOW + minutes(60), "author": "ann", "comment": "deploy"}
    return add_silence(store, **{"matchers": SIM, "now": NOW, **given, **fields})


def test_a_silence_is_read_as_it_was_added(store):
    monthly = TimeInterval.model_validate({"days_of_month": ["-1"], "location": "Asia/Shanghai"})
    made = add(store)
    other = add(store, starts_at=NOW + minutes(5), ends_at=None, recurrence=monthly)
    with store.read() as connection:
        assert read_silences(connection) == [made, other]


def test_it_holds_from_its_start_until_before_its_end(store):
    made = add(store)
    assert not made.silences(LABELS, NOW - minutes(1))
    assert made.silences(LABELS, NOW)
    assert made.silences(LABELS, NOW + minutes(60) - timedelta(microseconds=1))
    assert not made.silences(LABELS, NOW + minutes(60))
    assert not made.silences({"service": "other"}, NOW)
    states = [made.state(NOW + minutes(at)) for at in (-1, 0, 60)]
    assert states == ["pending", "active", "expired"]


def test_a_recurring_one_is_a_maintenance_window(store):
    nightly = TimeInterval.model_validate({"times": [{"start_time": "22:00", "end_time": "23:00"}]})
    made = add(store, ends_at=None, recurrence=nightly)
    assert made.state(NOW) == "waiting"
    for night in (0, 24, 24 * 300):
        assert made.silences(LABELS, NOW + timedelta(hours=10 + night))
        assert not made.silences(LABELS, NOW + timedelta(hours=11 + night))


def test_one_that_can_not_be_read_silences_nothing_and_stops_no_other(store, caplog):
    old, made = add(store), add(store)
    written = {"matchers": ['service=~"(?=sim)sim"']}  # as a version with Python's expressions did
    store.write(lambda db: db.execute(update(Stored).where(Stored.id == old.id).values(written)))
    with store.read() as connection:
        read = {one.id: one for one in read_silences(connection)}
    assert not read[old.id].silences(LABELS, NOW)
    assert read[made.id].silences(LABELS, NOW)
    assert f"silence {old.id} silences nothing" in caplog.text


def test_expiring_ends_it_now_and_once(store):
    made = add(store)
    expire_silence(store, made.id, author="bob", now=NOW + minutes(10))
    expire_silence(store, made.id, author="eve", now=NOW + minutes(20))
    with store.read() as connection:
        (read,) = read_silences(connection)
        assert read_silences(connection, since=NOW + minutes(10)) == []
        assert read_silences(connection, since=NOW + minutes(9)) == [read]
    assert (read.expired_by, read.over_at) == ("bob", NOW + minutes(10))
    assert read.silences(LABELS, NOW + minutes(9))
    assert not read.silences(LABELS, NOW + minutes(10))


def test_one_that_is_over_stays_as_it_is(store):
    made = add(store)
    expire_silence(store, made.id, author="bob", now=NOW + minutes(61))
    with store.read() as connection:
        assert read_silences(connection) == [made]
        assert read_silences(connection, since=NOW + minutes(60)) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"matchers": ()}, "every alert"),
        ({"matchers": (Matcher.parse('team=~".*"'),)}, "every alert"),
        ({"ends_at": None}, "has an end"),
        ({"ends_at": NOW}, "before it begins, or past"),
        ({"starts_at": NOW - minutes(9), "ends_at": NOW - minutes(5)}, "before it begins, or past"),
        ({"comment": " "}, "comment is empty"),
        ({"author": ""}, "author is empty"),
    ],
)
def test_what_is_no_silence_is_refused(sqlite_store, fields, says):
    with pytest.raises(InvalidRequestError, match=says):
        add(sqlite_store, **fields)


def test_expiring_one_that_there_is_not_says_so(sqlite_store):
    with pytest.raises(UnknownAlertError, match="no silence nothing"):
        expire_silence(sqlite_store, "nothing", author="bob", now=NOW)
