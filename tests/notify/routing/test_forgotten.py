"""Groups that are over are forgotten after a day: else each that ever was is read every minute."""

from __future__ import annotations

from monitoring.notify.routing.tree import Routing
from sqlalchemy import select

from tests.notify.episodes import NOW, add_policy, minutes, put_alert
from tests.notify.routing.routes import heard, routing, run
from userdb.models import NotificationGroup

EACH = routing(
    "route: {receiver: ops, group_by: [service], group_interval: 0s, repeat_interval: 30d}"
)
DAY = 24 * 60


def remembered(store):
    with store.read() as connection:
        return sorted(connection.scalars(select(NotificationGroup.group_key)))


def test_a_group_that_is_over_for_a_day_is_forgotten_and_one_that_fires_is_not(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    put_alert(store, "b", service="b")
    run(store, EACH)
    put_alert(store, "a", service="a", resolved_at=NOW + minutes(5))
    run(store, EACH, now=NOW + minutes(5))
    run(store, EACH, now=NOW + minutes(DAY + 4))
    assert len(remembered(store)) == 2
    run(store, EACH, now=NOW + minutes(DAY + 6))
    assert remembered(store) == ['{}:{service="b"}']
    # it begins anew, and nobody is told twice
    put_alert(store, "c", service="a", fired_at=NOW + minutes(DAY + 7))
    run(store, EACH, now=NOW + minutes(DAY + 7))
    assert heard(store)[-1] == [("a", "firing")]
    assert len(heard(store)) == 4


def test_what_a_limit_holds_back_is_kept(store):
    add_policy(store)
    slow = routing(
        """
receivers: [{name: ops, rate_limit: {messages: 1, per: 3d}}]
route: {receiver: ops, group_by: [service], group_interval: 0s}
"""
    )
    put_alert(store, "a", service="a")
    put_alert(store, "b", service="b")
    run(store, slow)
    put_alert(store, "b", service="b", resolved_at=NOW + minutes(5))
    run(store, slow, now=NOW + minutes(5))
    for at in (2 * DAY, 2 * DAY + 1):
        run(store, slow, now=NOW + minutes(at))
    assert remembered(store) == ['{}:{digest="true"}', '{}:{service="a"}']


def test_what_a_receiver_that_is_gone_was_told_is_forgotten_too(store):
    add_policy(store)
    put_alert(store, "a")
    run(store, Routing(), names=("lead", "ops"))
    put_alert(store, "a", resolved_at=NOW + minutes(5))
    run(store, Routing(), now=NOW + minutes(5), names=("lead", "ops"))
    run(store, Routing(), now=NOW + minutes(DAY + 6), names=("ops",))
    assert remembered(store) == []
