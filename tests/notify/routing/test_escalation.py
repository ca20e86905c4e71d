"""Escalation: who is told when nobody acknowledges, and when it stops."""

from __future__ import annotations

import pytest
from monitoring.alerts.acts import act
from monitoring.alerts.matchers import Matcher
from monitoring.alerts.silences import add_silence
from sqlalchemy import update

from tests.notify.episodes import NOW, add_policy, minutes, put_alert, supersede
from tests.notify.routing.routes import heard, routing, run
from userdb.models import Delivery

STEPS = routing(
    """
route:
  receiver: ops
  group_interval: 0s
  escalate: [{after: 15m, receiver: lead}, {after: 30m, receiver: boss}]
"""
)
ALL = ("boss", "lead", "ops")


def go(store, *minutes_after, routes=STEPS, names=ALL):
    for at in minutes_after:
        run(store, routes, now=NOW + minutes(at), names=names)


def counts(store):
    return [len(heard(store, name)) for name in ("ops", "lead", "boss")]


def test_an_alert_that_nobody_acknowledges_is_told_in_steps_and_all_are_told_its_end(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0, 14)
    assert counts(store) == [1, 0, 0]
    go(store, 15, 29)
    assert counts(store) == [1, 1, 0]
    go(store, 30, 90)
    assert counts(store) == [1, 1, 1]
    put_alert(store, "a", resolved_at=NOW + minutes(95))
    go(store, 95)
    for name in ALL:
        assert heard(store, name) == [[("sim", "firing")], [("sim", "resolved")]]


def test_an_acknowledgement_stops_it_and_taking_it_back_goes_on(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0, 15)
    act(store, "a", "acknowledge", at=NOW + minutes(20), author="ann")
    go(store, 30, 60)
    assert counts(store) == [1, 1, 0]
    act(store, "a", "unacknowledge", at=NOW + minutes(61), author="ann")
    go(store, 62)
    assert counts(store) == [1, 1, 1]


def test_who_was_not_told_it_fires_is_not_told_its_end(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0)
    put_alert(store, "a", resolved_at=NOW + minutes(14))
    go(store, 14, 15, 30, 60)
    assert counts(store) == [2, 0, 0]


def test_the_next_episode_begins_with_the_first_step(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0)
    put_alert(store, "a", resolved_at=NOW + minutes(10))
    put_alert(store, "b", fired_at=NOW + minutes(12))
    go(store, 12, 26)
    assert counts(store) == [3, 0, 0]
    go(store, 27)
    assert counts(store) == [3, 1, 0]
    assert heard(store, "lead") == [[("sim", "firing")]]


def test_a_retracted_alert_is_not_escalated_and_whoever_was_told_is_told_so(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0, 15)
    supersede(store, "a")
    go(store, 16, 40)
    assert counts(store) == [2, 2, 0]


def test_a_start_that_moved_goes_on_with_its_steps(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0)
    supersede(store, "a")
    put_alert(store, "earlier", fired_at=NOW - minutes(9))
    go(store, 10, 14)
    assert counts(store) == [1, 0, 0]
    go(store, 15)
    assert counts(store) == [1, 1, 0]


def test_only_alerts_that_are_due_are_escalated(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    go(store, 0)
    put_alert(store, "b", service="b", fired_at=NOW + minutes(10))
    go(store, 10, 15)
    assert heard(store, "lead") == [[("a", "firing")]]
    go(store, 25)
    assert heard(store, "lead")[1] == [("b", "firing"), ("a", "firing")]


def test_time_counts_from_when_it_was_told_and_not_from_when_it_fired(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(60))
    go(store, 0, 14)
    assert counts(store) == [1, 0, 0]


def test_a_step_whose_receiver_is_not_set_up_keeps_nobody_from_the_next(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0, 15, 30, names=("boss", "ops"))
    assert counts(store) == [1, 0, 1]


def test_without_the_first_receiver_the_steps_count_from_when_it_fired(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0, 14, names=("lead",))
    assert counts(store) == [0, 0, 0]
    go(store, 15, names=("lead",))
    assert counts(store) == [0, 1, 0]


def test_what_is_escalated_does_not_wait_for_group_wait_again(store):
    add_policy(store)
    patient = routing(
        """
route:
  receiver: ops
  group_wait: 10m
  group_interval: 0s
  escalate: [{after: 1m, receiver: lead}]
"""
    )
    put_alert(store, "a", service="a", fired_at=NOW - minutes(10))
    go(store, 0, routes=patient)
    put_alert(store, "b", service="b", fired_at=NOW + minutes(1))
    put_alert(store, "a", service="a", fired_at=NOW - minutes(10), resolved_at=NOW + minutes(1))
    go(store, 1, 2, routes=patient)
    assert heard(store, "lead") == [[("b", "firing")]]


HELD = routing(
    """
receivers: [{name: ops, rate_limit: {messages: 1, per: 1h}}]
route:
  receiver: ops
  group_by: [service]
  group_interval: 0s
  escalate: [{after: 15m, receiver: lead}]
"""
)


def test_what_a_limit_holds_back_is_escalated_no_later(store):
    add_policy(store)
    for name in ("first", "held"):
        put_alert(store, name, service=name)
    go(store, 0, 14, routes=HELD)
    assert [len(heard(store, name)) for name in ("ops", "lead")] == [1, 0]
    go(store, 15, routes=HELD)
    # the one whose limit it is gets the digest only after an hour
    assert heard(store, "lead") == [[("first", "firing")], [("held", "firing")]]
    assert heard(store) == [[("first", "firing")]]


def test_what_is_acknowledged_while_a_limit_holds_it_back_is_not_escalated(store):
    add_policy(store)
    for number, name in enumerate(("first", "held")):
        put_alert(store, name, service=name, series_id=number)
    go(store, 0, routes=HELD)
    act(store, "held", "acknowledge", at=NOW + minutes(1), author="ann")
    go(store, 15, routes=HELD)
    assert heard(store, "lead") == [[("first", "firing")]]


@pytest.mark.parametrize("status", ["pending", "dead"])
def test_a_first_receiver_that_cannot_be_reached_keeps_nobody_from_the_next(store, status):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0)
    store.write(lambda connection: connection.execute(update(Delivery).values(status=status)))
    go(store, 15)
    assert counts(store) == [1, 1, 0]


def test_what_was_suppressed_counts_from_when_it_is_told(store):
    add_policy(store)
    add_silence(
        store,
        [Matcher.parse('service="sim"')],
        starts_at=NOW - minutes(5),
        ends_at=NOW + minutes(30),
        author="ann",
        comment="deploy",
        now=NOW - minutes(5),
    )
    put_alert(store, "a")
    go(store, 0, 29, 30, 44)
    assert counts(store) == [1, 0, 0]
    go(store, 45)
    assert counts(store) == [1, 1, 0]
