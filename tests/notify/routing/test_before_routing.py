"""What receivers were told by a version that had no routing is remembered."""

from __future__ import annotations

import pytest
from monitoring.notify.routing.tree import Routing
from sqlalchemy import select, update

from tests.notify.episodes import NOW, add_policy, minutes, put_alert
from tests.notify.routing.routes import heard, messages, routing, run
from userdb.models import NotificationGroup

EDITED = "route: {receiver: ops, group_by: [service], group_interval: 5m, repeat_interval: 30m}"


@pytest.fixture
def told(store):
    """An alert was told, and its group's row is as that version wrote it."""
    add_policy(store)
    put_alert(store, "a")
    run(store, Routing())

    def write(connection):
        told = dict(connection.scalar(select(NotificationGroup.told)))
        for one in told.values():
            del one["at"]
        connection.execute(
            update(NotificationGroup).values(told=told, memo=None, flushed_at=None, sent_at=None)
        )

    store.write(write)
    return store


@pytest.mark.parametrize("routes", [Routing(), routing(EDITED)], ids=["none", "edited"])
def test_the_end_of_what_was_told_is_told(told, routes):
    put_alert(told, "a", resolved_at=NOW + minutes(9))
    run(told, routes, now=NOW + minutes(9))
    key = '{}:{alertname="request-timeouts"}'
    told_then = [row.payload["status"] for row in messages(told) if row.group_key == key]
    assert told_then == ["firing", "resolved"]


def test_what_still_fires_is_not_told_again_but_repeated(told):
    often = routing("route: {receiver: ops, group_interval: 5m, repeat_interval: 30m}")
    for at in range(0, 65, 5):
        run(told, often, now=NOW + minutes(at))
    assert [row.created_at - NOW for row in messages(told)] == [
        minutes(0),
        minutes(30),
        minutes(60),
    ]


def test_a_group_of_which_nothing_was_told_stops_nobody(told):
    told.write(lambda connection: connection.execute(update(NotificationGroup).values(told={})))
    put_alert(told, "b", service="b", fired_at=NOW + minutes(1))
    run(told, Routing(), now=NOW + minutes(1))
    assert ("b", "firing") in heard(told)[1]


def test_what_fires_for_longer_than_a_day_is_not_forgotten(told):
    run(told, Routing(), now=NOW + minutes(2000))
    put_alert(told, "a", resolved_at=NOW + minutes(2001))
    run(told, Routing(), now=NOW + minutes(2001))
    assert heard(told) == [[("sim", "firing")], [("sim", "resolved")]]
