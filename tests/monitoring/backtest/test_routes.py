"""Unit tests of routing: messages are compared all, and decided as the chain decides them."""

from __future__ import annotations

from pathlib import Path

import pytest
from monitoring.backtest.cases import read_cases
from monitoring.backtest.check import check_cases
from monitoring.backtest.routing_cases import routed, routed_lines
from monitoring.notify.definition import Receiver
from monitoring.notify.reconcile import reconcile
from monitoring.notify.routing.loader import load_valid_routing

from tests.notify.episodes import add_policy, minutes, put_alert, set_watermark
from tests.notify.routing.routes import messages
from userdb.errors import PolicyError
from userdb.times import from_minute, to_minute

ROUTING = """
receivers:
  - {name: ops}
  - {name: pager, rate_limit: {messages: 2, per: 1h}}
route:
  receiver: ops
  group_wait: 1m
  group_interval: 5m
  repeat_interval: 20m
  routes:
    - matchers: ['severity="critical"']
      receiver: pager
      group_by: [service]
      escalate: [{after: 10m, receiver: lead}]
    - {matchers: ['team="night"'], receiver: night, mute_times: [early]}
inhibit_rules:
  - {source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [service]}
time_intervals:
  - {name: early, time_intervals: [{times: [{start_time: "00:00", end_time: "00:30"}]}]}
"""
POLICIES = """
policies:
  - name: busy
    signal: requests.count
    by: [service]
    window: 1m
    condition: "> 5"
    severity: critical
    labels: {team: web}
"""


def failures(folder: Path, text: str) -> list[tuple[str, ...]]:
    (folder / "routing.yaml").write_text(ROUTING)
    (folder / "policies.yaml").write_text(POLICIES)
    path = folder / "cases.yaml"
    path.write_text(text)
    return [one.difference for one in check_cases(read_cases(path))]


def test_the_messages_about_a_policys_alerts_are_those_of_its_route(tmp_path):
    text = """
policy_files: [policies.yaml]
routing_file: routing.yaml
tests:
  - input_series:
      - {series: 'requests.count{service="a", route="/x"}', values: "1x2 9x9 1x5"}
    exp_routes:
      - time: 4m
        receiver: pager
        alerts: [{labels: {alertname: busy, severity: critical, service: a, team: web}}]
      - time: 13m
        receiver: pager
        alerts:
          - labels: {alertname: busy, severity: critical, service: a, team: web}
            status: resolved
"""
    assert failures(tmp_path, text) == []
    (lines,) = failures(tmp_path, text.replace("time: 13m", "time: 14m"))
    labels = '{alertname="busy", service="a", severity="critical", team="web"}'
    assert f"-      14m pager: {labels} resolved" in lines
    assert f"+      13m pager: {labels} resolved" in lines


GIVEN = """
routing_file: routing.yaml
tests:
  - name: everything that routing does
    alerts:
      - {labels: &a {alertname: a, severity: critical, service: x}, from: 0m, to: 18m}
      - {labels: &b {alertname: b, severity: warning, service: x}, from: 2m, to: 40m}
      - {labels: &c {alertname: c, severity: warning, service: y}, from: 3m}
      - {labels: &d {alertname: d, severity: info, team: night}, from: 5m}
      - {labels: &e {alertname: e, severity: critical, service: z}, from: 20m, to: 45m}
    silences: [{matchers: ['alertname="c"'], to: 10m}]
    acknowledgements: [{time: 25m, labels: *e}]
    exp_routes:
      # after group_wait; nobody acknowledges it, so lead is told
      - {time: 1m, receiver: pager, alerts: [{labels: *a}]}
      - {time: 11m, receiver: lead, alerts: [{labels: *a}]}
      - {time: 18m, receiver: pager, alerts: [{labels: *a, status: resolved}]}
      - {time: 18m, receiver: lead, alerts: [{labels: *a, status: resolved}]}
      # inhibited while A fires
      - {time: 18m, receiver: ops, alerts: [{labels: *b}]}
      - {time: 38m, receiver: ops, alerts: [{labels: *b}]}
      - {time: 43m, receiver: ops, alerts: [{labels: *b, status: resolved}]}
      # silenced, then repeated
      - {time: 10m, receiver: ops, alerts: [{labels: *c}]}
      - {time: 30m, receiver: ops, alerts: [{labels: *c}]}
      # muted until half past
      - {time: 30m, receiver: night, alerts: [{labels: *d}]}
      # two messages an hour: the third waits for the digest, and E was acknowledged in time
      - time: 61m
        receiver: pager
        alerts: [{labels: *e, status: resolved}]
      - {time: 50m, receiver: ops, alerts: [{labels: *c}]}
      - {time: 50m, receiver: night, alerts: [{labels: *d}]}
"""


def test_inhibition_silences_mute_times_repeats_escalation_and_digests_are_played(tmp_path):
    assert failures(tmp_path, GIVEN) == []


ACKNOWLEDGED = """
routing_file: routing.yaml
tests:
  - alerts: [{labels: &c {alertname: c, severity: warning}}]
    acknowledgements: [{time: 5m, labels: *c, until: 50m}]
    exp_routes:
      - {time: 1m, receiver: ops, alerts: [{labels: *c}]}
      - {time: 50m, receiver: ops, alerts: [{labels: *c}]}
"""


def test_what_is_acknowledged_is_not_repeated_until_that_is_taken_back(tmp_path):
    assert failures(tmp_path, ACKNOWLEDGED) == []
    (lines,) = failures(tmp_path, ACKNOWLEDGED.replace("until: 50m", "until: 40m"))
    assert '+      40m ops: {alertname="c", severity="warning"} firing' in lines


def test_it_is_what_the_chain_does_with_the_same_alerts(tmp_path, sqlite_store):
    failures(tmp_path, GIVEN)
    cases = read_cases(tmp_path / "cases.yaml")
    case = cases.cases[0].model_copy(update={"silences": (), "acknowledgements": ()})
    start = to_minute(from_minute(0).replace(year=2026))
    lines = routed_lines(routed(case, cases.routing, {}, start, start + 70), start)
    receivers = [Receiver(name, "http://127.0.0.1:9") for name in ("lead", "night", "ops", "pager")]
    for one in case.alerts:
        add_policy(sqlite_store, one.labels["alertname"], watermark=None)
    for minute in range(71):
        now = from_minute(start) + minutes(minute)
        for one in case.alerts:
            name = one.labels["alertname"]
            set_watermark(sqlite_store, now, name)
            begun, ended = from_minute(start) + one.begin, one.end and from_minute(start) + one.end
            if begun <= now:
                put_alert(
                    sqlite_store,
                    name,
                    policy=name,
                    severity=one.labels["severity"],
                    labels={k: v for k, v in one.labels.items() if k in ("service", "team")},
                    fired_at=begun,
                    resolved_at=ended if ended and ended <= now else None,
                )
        reconcile(
            sqlite_store,
            receivers,
            now=now,
            routing=load_valid_routing(tmp_path / "routing.yaml"),
        )
        sqlite_store.write(
            lambda connection: connection.exec_driver_sql("UPDATE delivery SET status = 'sent'")
        )
    sent = sorted(
        (
            int((row.created_at - from_minute(start)) / minutes(1)),
            row.receiver,
            sorted((a["labels"]["alertname"], a["status"]) for a in row.payload["alerts"]),
        )
        for receiver in receivers
        for row in messages(sqlite_store, receiver.name)
    )
    came = sorted(
        (
            one.at - start,
            one.receiver,
            sorted((labels["alertname"], status) for labels, status in one.alerts),
        )
        for one in routed(case, cases.routing, {}, start, start + 70)
    )
    assert sent == came
    assert len(lines) == len(sent) > 10


def test_a_flapping_alert_is_told_once(tmp_path):
    (tmp_path / "p.yaml").write_text(
        POLICIES.replace("severity: critical", "flapping: {lookback: 4, changes: 3}")
    )
    text = """
policy_files: [p.yaml]
tests:
  - input_series:
      - {series: 'requests.count{service="a"}', values: "9 1 9 1 9 1 1 1 1 1 1"}
    exp_routes:
      - time: 0m
        receiver: "*"
        alerts: [{labels: &a {alertname: busy, severity: warning, service: a, team: web}}]
      - {time: 1m, receiver: "*", alerts: [{labels: *a, status: resolved}]}
      - {time: 2m, receiver: "*", alerts: [{labels: *a}]}
      - {time: 9m, receiver: "*", alerts: [{labels: *a, status: resolved}]}
"""
    assert failures(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tests: [{exp_routes: []}]", "neither policy_files nor a routing_file"),
        ("routing_file: none.yaml\ntests: [{}]", "cases.yaml:1: routing_file: there is no file"),
        (
            "routing_file: bad.yaml\ntests: [{}]",
            "routing_file is not valid:\n.*bad.yaml:1: route.colour: Extra inputs",
        ),
        (
            "routing_file: routing.yaml\ntests: [{alerts: [{labels: {a: b}}]}]",
            "tests.0..alerts.0..labels: lacks the label alertname",
        ),
        (
            "routing_file: routing.yaml\n"
            "tests: [{alerts: [{labels: {alertname: b}, from: 2m, to: 1m}]}]",
            "to is not after from",
        ),
        (
            "routing_file: routing.yaml\ntests: [{exp_routes: [{time: 1m, receiver: a}]}]",
            "exp_routes.0..alerts: Field required",
        ),
    ],
)
def test_what_is_no_test_of_routing_is_refused(tmp_path, text, says):
    (tmp_path / "bad.yaml").write_text("route: {colour: red}")
    with pytest.raises(PolicyError, match=f"(?s){says}"):
        failures(tmp_path, text)
