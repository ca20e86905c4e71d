"""The tree: which routes an alert takes, what children inherit, and whom that tells."""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml
from monitoring.notify.routing.definition import RoutingSpec
from monitoring.notify.routing.tree import Audience, Routing, build


def routing(text: str) -> Routing:
    return build(RoutingSpec.model_validate(yaml.safe_load(text)))


TREE = """
route:
  receiver: ops
  group_by: [alertname, service]
  repeat_interval: 1h
  routes:
    - matchers: ['severity="critical"']
      receiver: oncall
      continue: true
      routes:
        - {matchers: ['service=~"sim-.*"'], receiver: sims, group_interval: 1m}
        - {matchers: ['service=~"s.*"'], receiver: never-for-sims}
    - {matchers: ['team="web"', 'severity!="info"'], receiver: web, group_by: ['...']}
    - {receiver: rest, matchers: ['team=""']}
"""


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"severity": "critical", "service": "sim-a"}, ["sims", "rest"]),
        ({"severity": "critical", "service": "shop"}, ["never-for-sims", "rest"]),
        ({"severity": "critical", "service": "x", "team": "web"}, ["oncall", "web"]),
        ({"severity": "info", "team": "web"}, ["ops"]),
        ({"severity": "warning", "team": "web"}, ["web"]),
        ({"severity": "warning"}, ["rest"]),
        ({"team": "other"}, ["ops"]),
    ],
)
def test_the_first_child_that_matches_takes_an_alert_unless_it_continues(labels, receivers):
    assert [one.receiver for one in routing(TREE).root.matching(labels)] == receivers


def test_keys_and_groups_are_written_as_alertmanager_does():
    labels = {"severity": "critical", "service": "sim-a", "alertname": "X", "team": "web"}
    sims, web = routing(TREE).root.matching(labels)
    assert sims.group(labels).key == (
        '{}/{severity="critical"}/{service=~"sim-.*"}:{alertname="X", service="sim-a"}'
    )
    assert web.group(labels).labels == labels
    assert routing("route: {group_by: []}").root.group(labels).key == "{}:{}"
    # a label that an alert lacks is not in its group's
    assert routing(TREE).root.group({"alertname": "X"}).key == '{}:{alertname="X"}'


def test_children_inherit_what_they_do_not_say():
    sims = routing(TREE).root.routes[0].routes[0]
    assert sims.group_by == ("alertname", "service")
    assert sims.repeat == timedelta(hours=1)
    assert sims.interval == timedelta(minutes=1)


def test_mute_times_are_a_nodes_own_and_escalation_is_inherited():
    root = routing(
        """
route:
  receiver: a
  mute_times: [always]
  escalate: [{after: 5m, receiver: boss}]
  routes: [{matchers: [a=b]}, {matchers: [c=d], escalate: []}, {receiver: boss}]
time_intervals: [{name: always, time_intervals: [{}]}]
"""
    ).root
    assert len(root.mute_times) == 1
    first, second, third = root.routes
    assert first.mute_times == ()
    assert [one.receiver for one in first.escalate] == ["boss"]
    assert second.escalate == ()
    # who is told at once is not told again
    assert third.escalate == ()


def test_siblings_with_the_same_matchers_have_keys_of_their_own():
    root = routing("route: {routes: [{receiver: a, continue: true}, {receiver: b}]}").root
    assert [one.key for one in root.routes] == ["{}/{}", "{}/{}/1"]


def test_everyone_is_all_who_are_set_up_but_those_that_are_escalated_to():
    root = routing("route: {escalate: [{after: 5m, receiver: boss}]}").root
    assert root.audience(["a", "boss", "b"]) == [
        Audience("a"),
        Audience("b"),
        Audience("boss", timedelta(minutes=5)),
    ]
    assert root.audience(["a"]) == [Audience("a")]


def test_receivers_that_are_not_set_up_are_named_with_their_routes():
    found = routing(TREE).missing(["ops", "sims", "web", "never-for-sims"])
    assert found == {"oncall": ['{}/{severity="critical"}'], "rest": ['{}/{team=""}']}
