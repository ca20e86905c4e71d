"""What is acknowledged is not repeated; its group's changes and its end are told all the same."""

from __future__ import annotations

import pytest
from monitoring.alerts.acts import act
from monitoring.notify.definition import Receiver
from monitoring.notify.reconcile import reconcile

from tests.notify.episodes import NOW, add_policy, minutes, put_alert, set_watermark, supersede
from tests.notify.routing.routes import heard, messages, routing, run

#: Repeats are due at 30, 60, 90 … minutes.
OFTEN = routing("route: {group_interval: 5m, repeat_interval: 30m}")


def go(store, first, last=None, step=5):
    for at in range(first, (last or first) + 1, step):
        run(store, OFTEN, now=NOW + minutes(at))


def say(store, action, at, episode="a"):
    act(store, episode, action, at=NOW + minutes(at), author="ann")


def times(store):
    return [(row.created_at - NOW) // minutes(1) for row in messages(store)]


def test_an_acknowledged_alert_is_not_repeated(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0, 30)
    say(store, "acknowledge", 31)
    go(store, 35, 200)
    assert times(store) == [0, 30]


def test_its_end_is_told(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0)
    say(store, "acknowledge", 1)
    put_alert(store, "a", resolved_at=NOW + minutes(50))
    go(store, 50)
    assert heard(store) == [[("sim", "firing")], [("sim", "resolved")]]


def test_another_alert_of_its_group_is_told_and_the_acknowledged_one_is_listed_with_it(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    go(store, 0)
    say(store, "acknowledge", 1)
    put_alert(store, "b", service="b", fired_at=NOW + minutes(10))
    go(store, 10)
    assert heard(store)[1] == [("b", "firing"), ("a", "firing")]


def test_the_end_of_another_alert_of_its_group_is_told(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    put_alert(store, "b", service="b", series_id=2)
    go(store, 0)
    say(store, "acknowledge", 1)
    put_alert(store, "b", service="b", series_id=2, resolved_at=NOW + minutes(10))
    go(store, 10, 100)
    assert heard(store)[1:] == [[("b", "resolved"), ("a", "firing")]]


def test_a_group_is_repeated_while_one_of_its_alerts_is_not_acknowledged(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    put_alert(store, "b", service="b", series_id=2)
    go(store, 0)
    say(store, "acknowledge", 1)
    go(store, 5, 30)
    assert heard(store)[1] == [("a", "firing"), ("b", "firing")]
    say(store, "acknowledge", 31, "b")
    go(store, 35, 100)
    assert times(store) == [0, 30]


def test_of_two_groups_only_the_acknowledged_one_is_quiet(store):
    add_policy(store)
    alone = routing("route: {group_by: [service], group_interval: 5m, repeat_interval: 30m}")
    put_alert(store, "a", service="a")
    put_alert(store, "b", service="b", series_id=2)
    run(store, alone)
    say(store, "acknowledge", 1)
    run(store, alone, now=NOW + minutes(30))
    assert heard(store)[2:] == [[("b", "firing")]]


def test_a_suppressed_alert_that_nobody_acknowledged_repeats_no_group(store):
    add_policy(store)
    muted = routing(
        """
route: {group_interval: 5m, repeat_interval: 30m}
inhibit_rules: [{source_matchers: ['alertname="other"'], target_matchers: ['service="b"']}]
"""
    )
    add_policy(store, "other")
    put_alert(store, "a", service="a")
    put_alert(store, "b", service="b", series_id=2)
    both = ("request-timeouts", "other")
    run(store, muted, policies=both)
    say(store, "acknowledge", 1)
    put_alert(store, "c", policy="other", fired_at=NOW + minutes(2))
    for at in range(5, 60, 5):
        run(store, muted, now=NOW + minutes(at), policies=both)
    told = [one for one in heard(store) if ("sim", "firing") not in one]
    assert told == [[("a", "firing"), ("b", "firing")]]


@pytest.mark.parametrize(("taken_back", "repeated"), [(20, 30), (100, 105)])
def test_repeats_go_on_when_the_acknowledgement_is_taken_back(store, taken_back, repeated):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0)
    say(store, "acknowledge", 1)
    go(store, 5, taken_back)
    assert times(store) == [0]
    say(store, "unacknowledge", taken_back + 1)
    # at once where its time was over meanwhile, else when it is
    go(store, taken_back + 5, 135)
    assert times(store) == [0, repeated, *([60, 90, 120] if repeated == 30 else [135])]


def test_the_next_episode_of_an_acknowledged_alert_is_repeated(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0)
    say(store, "acknowledge", 1)
    put_alert(store, "a", resolved_at=NOW + minutes(5))
    go(store, 5)
    put_alert(store, "b", fired_at=NOW + minutes(10))
    go(store, 10, 40)
    assert times(store) == [0, 5, 10, 40]


def test_an_acknowledgement_holds_for_the_episode_that_late_data_made_of_it(store):
    add_policy(store)
    put_alert(store, "a")
    go(store, 0)
    say(store, "acknowledge", 2)
    supersede(store, "a")
    put_alert(store, "earlier", fired_at=NOW - minutes(9))
    go(store, 5, 100)
    assert times(store) == [0]


def test_a_flapping_alert_that_is_acknowledged_is_not_repeated_either(store):
    add_policy(store)
    put_alert(store, "a", flapping_at=NOW)
    go(store, 0)
    say(store, "acknowledge", 1)
    # still the same episode, in a phase in which it is clear
    put_alert(store, "a", flapping_at=NOW, resolved_at=NOW + minutes(20))
    go(store, 5, 60)
    assert times(store) == [0]


def test_an_alertmanager_is_told_again_lest_it_takes_the_alert_for_over(store):
    add_policy(store)
    put_alert(store, "a")
    am = Receiver("ops", "http://127.0.0.1:9", kind="alertmanager")
    reconcile(store, [am], now=NOW, routing=OFTEN)
    say(store, "acknowledge", 1)
    set_watermark(store, NOW + minutes(30))
    reconcile(store, [am], now=NOW + minutes(30), routing=OFTEN)
    assert times(store) == [0, 30]
