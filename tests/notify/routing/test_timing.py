"""group_wait, group_interval and repeat_interval, in userdb."""

from __future__ import annotations

from dataclasses import replace

from monitoring.notify.reconcile import reconcile
from monitoring.notify.routing.tree import Routing

from tests.notify.episodes import NOW, add_policy, minutes, put_alert, set_watermark, supersede
from tests.notify.routing.routes import RECEIVERS, heard, messages, routing, run

FIVE = routing("route: {group_interval: 5m, repeat_interval: 30m}")


def test_a_new_group_waits_until_its_oldest_alert_has_fired_for_group_wait(store):
    add_policy(store)
    patient = routing("route: {group_wait: 3m}")
    put_alert(store, "a", service="a")
    put_alert(store, "b", service="b", fired_at=NOW + minutes(2))
    for at in range(3):
        run(store, patient, now=NOW + minutes(at))
    assert heard(store) == []
    # then all of the group is told, the youngest too
    run(store, patient, now=NOW + minutes(3))
    assert heard(store) == [[("a", "firing"), ("b", "firing")]]


def test_what_ended_before_group_wait_is_not_told(store):
    add_policy(store)
    patient = routing("route: {group_wait: 3m}")
    put_alert(store, "a", fired_at=NOW - minutes(4), resolved_at=NOW - minutes(2))
    run(store, patient)
    assert heard(store) == []
    put_alert(store, "b", fired_at=NOW - minutes(30), resolved_at=NOW - minutes(27))
    run(store, patient)
    assert [one[0][1] for one in heard(store)] == ["firing", "resolved"]


def test_news_of_a_group_waits_for_group_interval_after_its_last_message(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    run(store, FIVE)
    put_alert(store, "b", service="b", fired_at=NOW + minutes(1))
    put_alert(store, "a", service="a", resolved_at=NOW + minutes(2))
    for at in (1, 2, 3, 4):
        run(store, FIVE, now=NOW + minutes(at))
    assert len(heard(store)) == 1
    run(store, FIVE, now=NOW + minutes(5))
    assert heard(store)[1:] == [[("b", "firing"), ("a", "resolved")]]


def test_a_group_that_was_quiet_for_group_interval_is_told_at_once(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    run(store, FIVE)
    put_alert(store, "b", service="b", fired_at=NOW + minutes(7))
    run(store, FIVE, now=NOW + minutes(7))
    assert heard(store)[1] == [("b", "firing"), ("a", "firing")]


def test_groups_do_not_wait_for_each_other(store):
    add_policy(store)
    by_service = routing("route: {group_by: [service]}")
    put_alert(store, "a", service="a")
    run(store, by_service)
    put_alert(store, "b", service="b", fired_at=NOW + minutes(1))
    run(store, by_service, now=NOW + minutes(1))
    assert heard(store) == [[("a", "firing")], [("b", "firing")]]


def test_the_interval_counts_event_time(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    run(store, FIVE)
    put_alert(store, "a", service="a", resolved_at=NOW + minutes(1))
    # ten minutes later by the clock, and nothing new was evaluated
    late = reconcile(store, [RECEIVERS["ops"]], now=NOW + minutes(10), routing=FIVE)
    assert late.deliveries == ()
    run(store, FIVE, now=NOW + minutes(10))
    assert heard(store)[1] == [("a", "resolved")]


def test_when_nothing_fires_any_more_the_next_alert_begins_the_group_anew(store):
    add_policy(store)
    patient = routing("route: {group_wait: 2m, group_interval: 5m}")
    put_alert(store, "a", service="a", fired_at=NOW - minutes(2))
    run(store, patient)
    put_alert(store, "a", service="a", fired_at=NOW - minutes(2), resolved_at=NOW + minutes(5))
    run(store, patient, now=NOW + minutes(5))
    put_alert(store, "b", service="b", fired_at=NOW + minutes(6))
    run(store, patient, now=NOW + minutes(7))
    assert len(heard(store)) == 2
    # two minutes after it fired; the interval after the last message isn't over
    run(store, patient, now=NOW + minutes(8))
    assert heard(store)[2] == [("b", "firing")]


def test_what_still_fires_is_told_again_after_repeat_interval(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    for at in range(0, 61):
        run(store, FIVE, now=NOW + minutes(at))
    assert heard(store) == [[("a", "firing")]] * 3
    assert [one.created_at for one in messages(store)] == [
        NOW,
        NOW + minutes(30),
        NOW + minutes(60),
    ]


def test_a_repeat_interval_is_looked_at_on_ticks_of_the_group_interval(store):
    add_policy(store)
    odd = routing("route: {group_interval: 7m, repeat_interval: 10m}")
    put_alert(store, "a", service="a")
    for at in range(0, 30):
        run(store, odd, now=NOW + minutes(at))
    assert [one.created_at - NOW for one in messages(store)] == [
        minutes(0),
        minutes(14),
        minutes(28),
    ]


def test_a_message_begins_the_repeat_interval_anew(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    run(store, FIVE)
    put_alert(store, "b", service="b", fired_at=NOW + minutes(20))
    for at in range(20, 50):
        run(store, FIVE, now=NOW + minutes(at))
    assert [len(one) for one in heard(store)] == [1, 2]
    run(store, FIVE, now=NOW + minutes(50))
    assert heard(store)[2] == [("a", "firing"), ("b", "firing")]


def test_without_a_file_nothing_is_repeated(store):
    add_policy(store)
    put_alert(store, "a")
    for hours in range(0, 50, 5):
        run(store, Routing(), now=NOW + minutes(60 * hours))
    assert len(heard(store)) == 1


def test_a_retracted_alert_is_not_repeated(store):
    add_policy(store)
    put_alert(store, "a")
    run(store, FIVE)
    supersede(store, "a")
    for at in range(1, 70):
        run(store, FIVE, now=NOW + minutes(at))
    assert [one[0][1] for one in heard(store)] == ["firing", "resolved"]


def test_what_is_not_known_any_more_is_not_repeated(store):
    add_policy(store)
    add_policy(store, "other")
    together = routing("route: {group_by: [], group_interval: 5m, repeat_interval: 20m}")
    put_alert(store, "a", service="a")
    put_alert(store, "b", service="b", policy="other")
    both = ("request-timeouts", "other")
    run(store, together, policies=both)
    # from here on the other policy is not evaluated
    run(store, together, now=NOW + minutes(20))
    assert [sorted(one) for one in heard(store)] == [
        [("a", "firing"), ("b", "firing")],
        [("a", "firing")],
    ]


def test_who_wants_no_ends_hears_of_none_and_the_rest_is_told_in_time(store):
    add_policy(store)
    no_ends = replace(RECEIVERS["ops"], send_resolved=False)
    put_alert(store, "a", service="a")
    put_alert(store, "b", service="b")

    def look(at):
        set_watermark(store, NOW + minutes(at))
        reconcile(store, [no_ends], now=NOW + minutes(at), routing=FIVE)

    look(0)
    put_alert(store, "a", service="a", resolved_at=NOW + minutes(10))
    for at in range(10, 35, 5):
        look(at)
    # an end is no message, and moves no time
    assert [row.created_at - NOW for row in messages(store)] == [minutes(0), minutes(30)]
    assert heard(store)[1] == [("b", "firing")]


def test_the_group_of_one_who_wants_no_ends_is_over_too_and_begins_anew(store):
    add_policy(store)
    no_ends = replace(RECEIVERS["ops"], send_resolved=False)
    patient = routing("route: {group_wait: 2m, group_interval: 5m}")
    put_alert(store, "a", service="a", fired_at=NOW - minutes(2))

    def look(at):
        set_watermark(store, NOW + minutes(at))
        reconcile(store, [no_ends], now=NOW + minutes(at), routing=patient)

    look(0)
    put_alert(store, "a", service="a", fired_at=NOW - minutes(2), resolved_at=NOW + minutes(1))
    look(1)
    put_alert(store, "b", service="b", fired_at=NOW + minutes(2))
    look(3)
    assert len(heard(store)) == 1
    look(4)
    assert heard(store)[1] == [("b", "firing")]


def test_an_alert_that_ended_and_began_again_within_the_interval_is_told_both(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    run(store, FIVE)
    put_alert(store, "a", service="a", resolved_at=NOW + minutes(1))
    run(store, FIVE, now=NOW + minutes(1))
    put_alert(store, "b", service="a", fired_at=NOW + minutes(3))
    run(store, FIVE, now=NOW + minutes(3))
    assert len(heard(store)) == 1
    run(store, FIVE, now=NOW + minutes(5))
    assert heard(store)[1:] == [[("a", "resolved")], [("a", "firing")]]
