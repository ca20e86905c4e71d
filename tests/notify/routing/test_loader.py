"""routing.yaml: every mistake is told with its place, and what is right is kept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from monitoring.notify.routing.loader import load_routing, load_valid_routing, routing_path
from monitoring.notify.routing.tree import Routing
from monitoring.policy.loader import load_policies

import include
from userdb.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "routing.yaml"
    path.write_text(text)
    return path


def errors(folder: Path, text: str) -> list[str]:
    loaded = load_routing(write(folder, text))
    return [one.replace(f"{folder}/", "") for one in loaded.errors.values()]


def test_without_a_file_everyone_is_told_everything_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MONITORING_POLICIES", str(tmp_path))
    loaded = load_routing()
    assert (loaded.routing, loaded.errors, loaded.path) == (Routing(), {}, None)


def test_it_lies_in_the_folder_of_policies_and_is_none_of_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MONITORING_POLICIES", str(tmp_path))
    write(tmp_path, "route: {receiver: ops}")
    assert routing_path() == tmp_path / "routing.yaml"
    assert load_routing().routing.root.receiver == "ops"
    assert load_policies().errors == ()
    assert load_policies().unreadable is False
    # with one file of policies, beside it
    (tmp_path / "p.yaml").write_text("policies: []")
    monkeypatch.setenv("MONITORING_POLICIES", str(tmp_path / "p.yaml"))
    assert routing_path() == tmp_path / "routing.yaml"


def test_the_environment_names_another(tmp_path, monkeypatch):
    monkeypatch.setenv("MONITORING_ROUTING", str(tmp_path / "other.yaml"))
    (told,) = load_routing().errors.values()
    assert "other.yaml: can't be read" in told
    (tmp_path / "other.yaml").write_text("route: {receiver: lead}")
    assert load_routing().routing.root.receiver == "lead"


def test_the_shipped_file_is_valid_and_tells_everyone():
    shipped = Path(include.__path__[0]) / "policies" / "routing.yaml"
    routing = load_valid_routing(shipped)
    assert [one.receiver for one in routing.root.audience(["a", "b"])] == ["a", "b"]
    assert routing.missing([]) == {}


def test_defaults_are_alertmanagers_but_for_group_wait_and_group_by(tmp_path):
    root = load_valid_routing(write(tmp_path, "")).root
    assert root.wait == timedelta(0)
    assert root.interval == timedelta(minutes=5)
    assert root.repeat == timedelta(hours=4)
    assert root.group_by == ("alertname",)


BROKEN = """
route:
  receiver: ops
  routes:
    - matchers: ['severity=critical']
      receiver: oncall
      routes:
        - {matchers: ['a=~"("'], receiver: x}
        - {matchers: [b=c], receiver: y, mute_times: [nights, weekend]}
    - {matchers: [team], receiver: z}
    - {receiver: z, group_wait: 5}
receivers:
  - {name: ops, kind: webhook, url_env: OPS_URL}
  - {name: oncall, url: http://secret@x}
inhibit_rules:
  - {source_matchers: [a=b], equal: [c]}
  - {source_matchers: [a=b], target_matchers: [c=d]}
time_intervals:
  - {name: weekend, time_intervals: [{weekdays: [saturday]}]}
  - {name: odd, time_intervals: [{weekdays: [someday]}]}
colour: red
"""


def test_all_mistakes_are_told_at_once_with_line_and_field(tmp_path):
    found = errors(tmp_path, BROKEN)
    assert [one.split(": ")[:2] for one in sorted(found)] == [
        ["routing.yaml:10", "route.routes[1].matchers[0]"],
        ["routing.yaml:11", "route.routes[2].group_wait"],
        ["routing.yaml:14", "receivers[1].url"],
        ["routing.yaml:16", "inhibit_rules[0].target_matchers"],
        ["routing.yaml:20", "time_intervals[1].time_intervals[0].weekdays"],
        ["routing.yaml:21", "colour"],
        ["routing.yaml:8", "route.routes[0].routes[0].matchers[0]"],
        ["routing.yaml:9", "route.routes[0].routes[1].mute_times[0]"],
    ]
    assert not any("secret" in one for one in found)
    with pytest.raises(ConfigError, match="no time interval 'nights'; time_intervals has odd, "):
        load_valid_routing(tmp_path / "routing.yaml")


def test_what_is_right_is_kept_and_what_is_wrong_falls_to_its_parent(tmp_path):
    routing = load_routing(write(tmp_path, BROKEN)).routing
    assert [route.key for route in routing.root.walk()] == [
        "{}",
        '{}/{severity="critical"}',
        '{}/{severity="critical"}/{b="c"}',
    ]
    assert [one.name for one in routing.receivers] == ["ops"]
    assert len(routing.inhibit_rules) == 1
    (inner,) = routing.root.routes[0].routes
    assert len(inner.mute_times) == 1


@pytest.mark.parametrize(
    ("text", "receiver"),
    [
        ("route: [", "*"),
        ("- a", "*"),
        ("route: 5", "*"),
        ("route: {receiver: 5}", "*"),
        # a field of the root that is wrong is as if it weren't there
        ("route: {receiver: ops, group_wait: 5}", "ops"),
        ("route: {receiver: ops, routes: {a: b}}", "ops"),
        ("route: {receiver: ops, routes: [5, {receiver: x}]}", "ops"),
        ("receivers: 7\nroute: {receiver: ops}", "ops"),
    ],
)
def test_a_file_that_is_wrong_never_keeps_everyone_quiet(tmp_path, text, receiver):
    loaded = load_routing(write(tmp_path, text))
    assert loaded.errors
    assert loaded.routing.root.receiver == receiver


@pytest.mark.parametrize(
    ("route", "says"),
    [
        ("group_by: ['...', a]", "stands alone"),
        ("group_by: [a, a]", "twice"),
        ("repeat_interval: 5s", "at least 1m"),
        ("group_interval: 5", "not a duration"),
        ("escalate: [{after: 0s, receiver: a}]", "longer than 0"),
        ("escalate: [{after: 1m, receiver: '*'}]", "names one receiver"),
        ("escalate: [{after: 1m, receiver: a}, {after: 2m, receiver: a}]", "same receiver"),
        ("escalate: [{after: 2m, receiver: a}, {after: 1m, receiver: b}]", "comes later"),
        ("receiver: a\n  escalate: [{after: 1m, receiver: a}]", "told already"),
        ("receiver: ''", "at least 1 character"),
        ("reciever: a", "Extra inputs"),
        ("matchers: [a=b]", "the root takes every alert"),
    ],
)
def test_what_is_no_route_is_refused(tmp_path, route, says):
    (told,) = errors(tmp_path, f"route:\n  {route}\n")
    assert says in told
    assert told.startswith("routing.yaml:")


def test_names_that_are_given_twice_are_told(tmp_path):
    interval = "{name: n, time_intervals: [{}]}"
    text = f"receivers: [{{name: a}}, {{name: a}}]\ntime_intervals: [{interval}, {interval}]\n"
    interval_twice, receiver_twice = errors(tmp_path, text)
    assert receiver_twice.startswith("routing.yaml:1: receivers[1].name: two receivers are named")
    assert interval_twice.startswith("routing.yaml:2: time_intervals[1].name: the name 'n' is")
