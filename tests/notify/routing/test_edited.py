"""routing.yaml is edited while alerts fire: old groups are told their ends, new ones all."""

from __future__ import annotations

from tests.notify.episodes import NOW, add_policy, minutes, put_alert, supersede
from tests.notify.routing.routes import heard, messages, routing, run

BEFORE = routing("route: {receiver: ops, group_interval: 0s, repeat_interval: 10m}")
AFTER = routing("route: {receiver: lead, group_interval: 0s, repeat_interval: 10m}")
NAMES = ("lead", "ops")


def test_whoever_is_not_in_the_routing_any_more_is_told_the_end_and_nothing_else(store):
    add_policy(store)
    put_alert(store, "a")
    run(store, BEFORE, names=NAMES)
    put_alert(store, "b", service="b", fired_at=NOW + minutes(1))
    for at in (1, 20, 40):
        run(store, AFTER, now=NOW + minutes(at), names=NAMES)
    assert heard(store) == [[("sim", "firing")]]
    assert len(heard(store, "lead")) == 3
    put_alert(store, "a", resolved_at=NOW + minutes(41))
    run(store, AFTER, now=NOW + minutes(41), names=NAMES)
    assert heard(store) == [[("sim", "firing")], [("sim", "resolved")]]
    put_alert(store, "c", fired_at=NOW + minutes(42))
    run(store, AFTER, now=NOW + minutes(42), names=NAMES)
    assert len(heard(store)) == 2


def test_an_alert_that_still_fires_is_not_told_resolved_because_of_an_edit(store):
    add_policy(store)
    put_alert(store, "a")
    run(store, BEFORE, names=NAMES)
    supersede(store, "a")
    put_alert(store, "moved", fired_at=NOW - minutes(5))
    run(store, AFTER, now=NOW + minutes(1), names=NAMES)
    assert heard(store) == [[("sim", "firing")]]


def test_another_grouping_tells_again_and_each_group_is_told_its_end_by_its_own_key(store):
    add_policy(store)
    long = "s" * 400
    put_alert(store, "a", labels={"service": long})
    by_service = routing("route: {receiver: ops, group_by: [service], group_interval: 0s}")
    run(store, by_service)
    run(store, BEFORE, now=NOW + minutes(1))
    put_alert(store, "a", labels={"service": long}, resolved_at=NOW + minutes(2))
    run(store, BEFORE, now=NOW + minutes(2))
    told = [(row.payload["groupKey"], row.payload["status"]) for row in messages(store)]
    old, new = f'{{}}:{{service="{long}"}}', '{}:{alertname="request-timeouts"}'
    assert sorted(told) == sorted(
        [(old, "firing"), (new, "firing"), (old, "resolved"), (new, "resolved")]
    )


def test_rules_of_time_can_be_edited_without_telling_anything(store):
    add_policy(store)
    put_alert(store, "a")
    run(store, BEFORE)
    slow = routing("route: {receiver: ops, group_wait: 1m, group_interval: 9m}")
    assert run(store, slow, now=NOW + minutes(30)).deliveries == ()


ALL = "route: {receiver: ops, group_interval: 0s, repeat_interval: 10m%s}"
MOVED = ALL % ", routes: [{matchers: ['service=\"b\"'], receiver: lead}]"


def test_an_alert_that_goes_another_way_now_is_told_its_end_where_it_was_and_nothing_else(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    put_alert(store, "b", service="b")
    run(store, routing(ALL % ""), names=NAMES)
    run(store, routing(MOVED), now=NOW + minutes(1), names=NAMES)
    assert heard(store, "lead") == [[("b", "firing")]]
    # a repeat of the group that it was in
    run(store, routing(MOVED), now=NOW + minutes(10), names=NAMES)
    assert heard(store)[1:] == [[("a", "firing")]]
    put_alert(store, "b", service="b", resolved_at=NOW + minutes(11))
    run(store, routing(MOVED), now=NOW + minutes(11), names=NAMES)
    assert heard(store)[2:] == [[("b", "resolved"), ("a", "firing")]]
    put_alert(store, "again", service="b", fired_at=NOW + minutes(12))
    run(store, routing(MOVED), now=NOW + minutes(12), names=NAMES)
    assert len(heard(store)) == 3
    assert heard(store, "lead")[1:] == [[("b", "resolved")], [("b", "firing")]]
