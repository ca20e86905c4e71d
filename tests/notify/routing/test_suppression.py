"""Silences, inhibition and mute times: who isn't told, and who is told when they end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from monitoring.alerts.matchers import Matcher
from monitoring.alerts.silences import add_silence, expire_silence
from monitoring.alerts.time_intervals import TimeInterval

from tests.notify.episodes import NOW, add_policy, minutes, put_alert
from tests.notify.routing.routes import heard, messages, routing, run

AT_ONCE = routing("route: {group_interval: 0s}")
INHIBIT = """
route: {group_interval: 0s}
inhibit_rules:
  - source_matchers: ['severity="critical"']
    target_matchers: ['severity="warning"']
    equal: [service, zone]
"""


def silence(store, text='service="sim"', *, start=NOW, length=60):
    return add_silence(
        store,
        [Matcher.parse(text)],
        starts_at=start,
        ends_at=start + minutes(length),
        author="ann",
        comment="deploy",
        now=start,
    )


def test_a_silenced_alert_is_told_when_the_silence_ends_while_it_fires(store):
    add_policy(store)
    silence(store)
    put_alert(store, "a")
    put_alert(store, "b", service="other")
    run(store, AT_ONCE)
    assert heard(store) == [[("other", "firing")]]
    run(store, AT_ONCE, now=NOW + minutes(59))
    assert len(heard(store)) == 1
    run(store, AT_ONCE, now=NOW + minutes(60))
    assert heard(store)[1] == [("sim", "firing"), ("other", "firing")]


def test_a_silence_that_is_expired_ends_at_once(store):
    add_policy(store)
    made = silence(store)
    put_alert(store, "a")
    run(store, AT_ONCE)
    expire_silence(store, made.id, author="ann", now=NOW + minutes(1))
    run(store, AT_ONCE, now=NOW + minutes(1))
    assert heard(store) == [[("sim", "firing")]]


def test_whoever_was_told_firing_is_told_resolved_also_in_a_silence(store):
    add_policy(store)
    put_alert(store, "a")
    run(store, AT_ONCE)
    silence(store, start=NOW + minutes(1))
    put_alert(store, "a", resolved_at=NOW + minutes(2))
    run(store, AT_ONCE, now=NOW + minutes(2))
    assert heard(store) == [[("sim", "firing")], [("sim", "resolved")]]


def test_what_came_and_went_in_a_silence_is_never_told(store):
    add_policy(store)
    silence(store, length=10)
    put_alert(store, "a", fired_at=NOW + minutes(1), resolved_at=NOW + minutes(10))
    for at in (5, 9, 10, 11, 40):
        run(store, AT_ONCE, now=NOW + minutes(at))
    assert heard(store) == []


def test_what_went_on_after_a_silence_and_ended_between_two_looks_is_told(store):
    add_policy(store)
    silence(store, length=10)
    put_alert(store, "a", fired_at=NOW + minutes(1), resolved_at=NOW + minutes(15))
    run(store, AT_ONCE, now=NOW + minutes(20))
    assert heard(store) == [[("sim", "firing")], [("sim", "resolved")]]


def test_a_silenced_alert_is_not_repeated_nor_listed_with_others(store):
    add_policy(store)
    often = routing("route: {group_interval: 1m, repeat_interval: 10m}")
    put_alert(store, "a")
    run(store, often)
    silence(store, start=NOW + minutes(1), length=30)
    for at in range(1, 30):
        run(store, often, now=NOW + minutes(at))
    assert len(heard(store)) == 1
    put_alert(store, "b", service="b", fired_at=NOW + minutes(30))
    run(store, often, now=NOW + minutes(30))
    assert heard(store)[1] == [("b", "firing")]
    # the silence has ended, and what still fires is told again
    for at in range(31, 41):
        run(store, often, now=NOW + minutes(at))
    assert heard(store)[2] == [("sim", "firing"), ("b", "firing")]


def put_severity(store, episode, severity, service="sim", **fields):
    put_alert(
        store,
        episode,
        service=service,
        severity=severity,
        policy=severity,
        labels=fields.pop("labels", {"service": service}),
        **fields,
    )


def two_policies(store):
    add_policy(store, "warning")
    add_policy(store, "critical")


def inhibited(store, text=INHIBIT, now=NOW):
    run(store, routing(text), now=now, policies=("warning", "critical"))
    return sorted(
        (told[0], row.payload["groupLabels"]["alertname"])
        for row, told in zip(messages(store), heard(store), strict=True)
    )


def test_an_alert_is_inhibited_while_its_source_fires_and_told_when_that_resolves(store):
    two_policies(store)
    put_severity(store, "c", "critical")
    put_severity(store, "w", "warning")
    put_severity(store, "o", "warning", service="other")
    assert inhibited(store) == [
        (("other", "firing"), "warning"),
        (("sim", "firing"), "critical"),
    ]
    put_severity(store, "c", "critical", resolved_at=NOW + minutes(5))
    assert (("sim", "firing"), "warning") not in inhibited(store, now=NOW + minutes(4))
    run(store, routing(INHIBIT), now=NOW + minutes(5), policies=("warning", "critical"))
    assert heard(store)[-1] == [("sim", "firing"), ("other", "firing")]


def test_what_ended_together_with_its_source_is_not_told(store):
    two_policies(store)
    ended = {"fired_at": NOW - minutes(9), "resolved_at": NOW - minutes(1)}
    put_severity(store, "c", "critical", **ended)
    put_severity(store, "w", "warning", **ended)
    told = inhibited(store)
    assert {group for _, group in told} == {"critical"}


def test_an_alert_on_both_sides_does_not_inhibit_itself(store):
    two_policies(store)
    same = """
route: {group_interval: 0s}
inhibit_rules: [{source_matchers: ['service="sim"'], target_matchers: ['service="sim"']}]
"""
    put_severity(store, "c", "critical")
    put_severity(store, "w", "warning")
    assert len(inhibited(store, same)) == 2


def test_a_label_that_both_lack_is_equal(store):
    two_policies(store)
    put_severity(store, "c", "critical", labels={"service": "sim", "zone": "1"})
    put_severity(store, "w", "warning", labels={"service": "sim"})
    assert len(inhibited(store)) == 2


def test_a_silenced_source_inhibits_too(store):
    two_policies(store)
    silence(store, 'severity="critical"')
    put_severity(store, "c", "critical")
    put_severity(store, "w", "warning")
    assert inhibited(store) == []


MUTED = """
route:
  receiver: ops
  group_interval: 0s
  routes:
    - {receiver: ops, matchers: ['service="sim"'], mute_times: [lunch], continue: true}
    - {receiver: lead, matchers: ['service="sim"'], active_times: [lunch]}
time_intervals:
  # NOW is 12:00 UTC
  - {name: lunch, time_intervals: [{times: [{start_time: "12:00", end_time: "13:00"}]}]}
"""


def test_a_muted_route_tells_when_its_time_is_over_and_an_active_one_within_it(store):
    add_policy(store)
    put_alert(store, "a")
    routes = routing(MUTED)
    names = ("lead", "ops")
    run(store, routes, names=names)
    assert (heard(store), heard(store, "lead")) == ([], [[("sim", "firing")]])
    run(store, routes, now=NOW + minutes(59), names=names)
    assert heard(store) == []
    run(store, routes, now=NOW + minutes(60), names=names)
    assert heard(store) == [[("sim", "firing")]]
    # outside of its active times an end is told, and no beginning
    put_alert(store, "a", resolved_at=NOW + minutes(70))
    run(store, routes, now=NOW + minutes(70), names=names)
    put_alert(store, "b", fired_at=NOW + minutes(80))
    run(store, routes, now=NOW + minutes(80), names=names)
    assert heard(store, "lead") == [[("sim", "firing")], [("sim", "resolved")]]
    assert len(heard(store)) == 3


def test_a_maintenance_window_holds_again_and_again(store):
    add_policy(store)
    add_silence(
        store,
        [Matcher.parse('service="sim"')],
        starts_at=NOW - timedelta(days=30),
        ends_at=None,
        author="ann",
        comment="backup",
        now=NOW - timedelta(days=30),
        recurrence=TimeInterval.model_validate(
            {"times": [{"start_time": "12:00", "end_time": "12:30"}]}
        ),
    )
    put_alert(store, "a")
    run(store, AT_ONCE)
    assert heard(store) == []
    run(store, AT_ONCE, now=NOW + minutes(30))
    assert heard(store) == [[("sim", "firing")]]


def test_an_alert_that_flaps_in_a_silence_is_told_when_that_ends_and_it_still_flaps(store):
    add_policy(store)
    silence(store, length=10)
    put_alert(store, "a", fired_at=NOW, resolved_at=NOW + minutes(1), flapping_at=NOW + minutes(1))
    run(store, AT_ONCE, now=NOW + minutes(9))
    assert heard(store) == []
    put_alert(store, "b", fired_at=NOW + minutes(9))
    run(store, AT_ONCE, now=NOW + minutes(11))
    assert heard(store) == [[("sim", "firing")]]


def test_whoever_was_told_firing_is_told_resolved_also_while_it_is_inhibited(store):
    two_policies(store)
    put_severity(store, "w", "warning")
    inhibited(store)
    put_severity(store, "c", "critical", fired_at=NOW + minutes(1))
    put_severity(store, "w", "warning", resolved_at=NOW + minutes(2))
    told = inhibited(store, now=NOW + minutes(2))
    assert [one for one in told if one[1] == "warning"] == [
        (("sim", "firing"), "warning"),
        (("sim", "resolved"), "warning"),
    ]


BOTH_SIDES = """
route: {group_interval: 0s}
inhibit_rules:
  - source_matchers: ['severity=~"critical|warning"']
    target_matchers: ['severity=~"warning|info"']
    equal: [service]
"""


@pytest.mark.parametrize(
    ("severities", "told"),
    [
        # what is on both sides inhibits what is the target's alone, and is inhibited by what is
        # the source's alone
        (("critical", "warning"), ["critical"]),
        (("warning", "info"), ["warning"]),
        (("critical", "info"), ["critical"]),
        (("warning", "warning"), ["warning", "warning"]),
    ],
)
def test_an_alert_on_both_sides_inhibits_and_is_inhibited_by_others(store, severities, told):
    names = sorted({"critical", "warning", "info"})
    for name in names:
        add_policy(store, name)
    for number, severity in enumerate(severities):
        labels = {"service": "sim", "instance": str(number)}
        put_severity(store, str(number), severity, labels=labels)
    run(store, routing(BOTH_SIDES), policies=tuple(names))
    found = [
        alert["labels"]["severity"] for row in messages(store) for alert in row.payload["alerts"]
    ]
    assert sorted(found) == told


def test_a_label_that_is_empty_equals_one_that_is_missing(store):
    two_policies(store)
    put_severity(store, "c", "critical", labels={"service": "sim", "zone": ""})
    put_severity(store, "w", "warning", labels={"service": "sim"})
    assert [group for _, group in inhibited(store)] == ["critical"]
