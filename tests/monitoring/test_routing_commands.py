"""``monitoring silence`` and ``monitoring routing``, as programs that people type."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from monitoring.cli import app
from monitoring.notify.routing.schema import routing_file_schema
from monitoring.policy.schema import policy_file_schema
from typer.testing import CliRunner

from userdb.errors import MonitoringError
from userdb.migrate import upgrade
from userdb.store import open_store

ROUTING = """
receivers: [{name: oncall}]
route:
  receiver: webhook
  routes:
    - matchers: ['severity="critical"']
      receiver: oncall
      group_by: [service]
      escalate: [{after: 15m, receiver: webhook}]
      mute_times: [always]
time_intervals: [{name: always, time_intervals: [{}]}]
"""


@pytest.fixture
def monitoring(tmp_path, monkeypatch):
    for name in ("MONITORING_RECEIVERS", "MONITORING_WEBHOOK_URL", "MONITORING_ROUTING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MONITORING_POLICIES", str(tmp_path))
    store = open_store()
    upgrade(store)
    store.close()

    def run(*arguments, code=0):
        done = CliRunner().invoke(app, arguments)
        if isinstance(done.exception, MonitoringError):
            assert code == 1, done.exception
            return str(done.exception)
        assert done.exit_code == code, done.output
        return done.output

    return run


def silences(monitoring, *options):
    return json.loads(monitoring("silence", "list", *options, "--format", "json"))


def test_a_silence_is_added_listed_and_expired(monitoring):
    made = monitoring(
        *("silence", "add", "--matcher", 'service="sim"', "--matcher", "severity!=critical"),
        *("--for", "2h", "--comment", "deploy", "--author", "ann"),
    ).strip()
    (row,) = silences(monitoring)
    assert row["id"] == made
    assert row["state"] == "active"
    assert row["matchers"] == ['service="sim"', 'severity!="critical"']
    begin, end = (datetime.fromisoformat(row[name]) for name in ("starts_at", "ends_at"))
    assert end - begin == timedelta(hours=2)
    table = monitoring("silence", "list")
    assert made in table
    assert "deploy" in table
    monitoring("silence", "expire", made, "--author", "bob")
    assert silences(monitoring) == []
    (row,) = silences(monitoring, "--all")
    assert (row["state"], row["expired_by"]) == ("expired", "bob")


def test_a_maintenance_window_recurs_without_an_end(monitoring):
    done = monitoring(
        *("silence", "add", "--matcher", "service=db", "--comment", "backup"),
        *("--recur-times", "22:00-23:30", "--recur-weekdays", "monday:friday"),
        *("--recur-days", "-7:-1", "--recur-months", "june:august"),
        *("--recur-location", "Europe/Berlin", "--format", "json"),
    )
    (row,) = silences(monitoring)
    assert row["id"] == json.loads(done)["id"]
    assert row["ends_at"] is None
    assert row["recurrence"] == {
        "times": [{"start_time": "22:00", "end_time": "23:30"}],
        "weekdays": ["monday:friday"],
        "days_of_month": ["-7:-1"],
        "months": ["june:august"],
        "location": "Europe/Berlin",
    }
    assert "22:00-23:30" in monitoring("silence", "list")


ADD = ("silence", "add", "--comment", "c", "--matcher", "service=x")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("silence", "add", "--matcher", "a", "--comment", "c", "--for", "1h"), 1, "not a matcher"),
        ((*ADD, "--for", "tomorrow"), 1, "not a duration"),
        (ADD, 1, "has an end, unless it recurs"),
        ((*ADD, "--to", "2020-01-01T00:00:00Z"), 1, "or past"),
        ((*ADD, "--for", "1h", "--to", "2030-01-01T00:00:00Z"), 2, "not both"),
        ((*ADD, "--recur-times", "9"), 1, "write a range"),
        ((*ADD, "--recur-weekdays", "funday"), 1, "none of the weekdays"),
        ((*ADD, "--for", "1h", "--recur-location", "UTC"), 1, "only with another"),
        (("silence", "expire", "nothing"), 1, "no silence nothing"),
        (("routing", "show", "--labels", "severity"), 1, "not a label"),
    ],
)
def test_bad_input_is_one_clear_line(monitoring, arguments, code, says):
    # options' errors are drawn in boxes that break lines
    assert says in " ".join(monitoring(*arguments, code=code).replace("│", " ").split())


def test_check_tells_every_mistake_and_receivers_that_are_not_set_up(
    monitoring, tmp_path, monkeypatch
):
    assert "every receiver is told everything" in monitoring("routing", "check")
    path = tmp_path / "routing.yaml"
    path.write_text(ROUTING)
    told = monitoring("routing", "check", code=1)
    assert "{}" in told
    assert "the receiver 'webhook' is neither in receivers nor set up" in told
    monkeypatch.setenv("MONITORING_WEBHOOK_URL", "http://127.0.0.1:9/")
    assert "2 routes are valid, 0 errors" in monitoring("routing", "check", str(path))
    path.write_text(ROUTING.replace("group_by: [service]", "groupby: [service]"))
    assert f"{path}:8: route.routes[0].groupby: Extra inputs" in monitoring(
        "routing", "check", code=1
    )


def test_show_says_who_would_be_told(monitoring, tmp_path, monkeypatch):
    monkeypatch.setenv("MONITORING_WEBHOOK_URL", "http://127.0.0.1:9/")
    (tmp_path / "routing.yaml").write_text(ROUTING)
    labels = ("--labels", "severity=critical", "service=sim", "alertname=x")
    rows = json.loads(monitoring("routing", "show", *labels, "--format", "json"))
    assert [(one["receiver"], one["after"], one["muted"]) for one in rows] == [
        ("oncall", None, True),
        ("webhook", "15m", True),
    ]
    assert rows[0]["group"] == '{}/{severity="critical"}:{service="sim"}'
    other = json.loads(monitoring("routing", "show", "--labels", "a=b", "--format", "json"))
    assert [one["receiver"] for one in other] == ["webhook"]
    table = monitoring("routing", "show", *labels)
    assert "muted" in table
    assert "15m" in table


@pytest.mark.parametrize(
    ("command", "schema"),
    [("policy", policy_file_schema), ("routing", routing_file_schema)],
)
def test_schemas_are_printed_for_editors(monitoring, command, schema):
    assert json.loads(monitoring(command, "schema")) == schema()


def test_show_without_any_receiver_names_everyone(monitoring):
    (row,) = json.loads(monitoring("routing", "show", "--labels", "a=b", "--format", "json"))
    assert row["receiver"] == "*"
    assert row["repeat_interval"] is None


def test_policy_test_runs_tests_of_routing_and_shows_a_difference(monitoring, tmp_path):
    (tmp_path / "routing.yaml").write_text("route: {receiver: ops}")
    (tmp_path / "tests").mkdir()
    path = tmp_path / "tests" / "routing.yaml"
    path.write_text(
        """
routing_file: ../routing.yaml
tests:
  - alerts: [{labels: &x {alertname: x}}]
    exp_routes: [{time: 0m, receiver: ops, alerts: [{labels: *x}]}]
"""
    )
    assert "1 tests passed, 0 failed" in monitoring("policy", "test")
    path.write_text(path.read_text().replace("receiver: ops, alerts", "receiver: lead, alerts"))
    told = monitoring("policy", "test", code=1)
    assert f"{path}:5: tests[0]: routes" in told
    assert '-       0s lead: {alertname="x"} firing' in told
    assert '+       0s ops: {alertname="x"} firing' in told
