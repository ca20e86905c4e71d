"""Alertmanager's webhook payload, version 4, field for field."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from monitoring.notify import Receiver, notify
from monitoring.notify.payload import (
    Group,
    fingerprint,
    firing_alert,
    format_time,
    message,
    parse_time,
    resolved_alert,
)

from tests.notify.episodes import NOW, add_policy, minutes, put_alert
from tests.notify.hooks import listening

#: Every field of the payload and of an alert, and its JSON type.
MESSAGE_FIELDS = {
    "version": str,
    "groupKey": str,
    "truncatedAlerts": int,
    "status": str,
    "receiver": str,
    "groupLabels": dict,
    "commonLabels": dict,
    "commonAnnotations": dict,
    "externalURL": str,
    "alerts": list,
}
ALERT_FIELDS = {
    "status": str,
    "labels": dict,
    "annotations": dict,
    "startsAt": str,
    "endsAt": str,
    "generatorURL": str,
    "fingerprint": str,
}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def check(payload):
    assert {name: type(value) for name, value in payload.items()} == MESSAGE_FIELDS
    assert payload["version"] == "4"
    assert payload["status"] in ("firing", "resolved")
    assert payload["alerts"]
    for alert in payload["alerts"]:
        assert {name: type(value) for name, value in alert.items()} == ALERT_FIELDS
        assert alert["status"] in ("firing", "resolved")
        assert RFC3339.fullmatch(alert["startsAt"])
        assert RFC3339.fullmatch(alert["endsAt"])
        assert (alert["endsAt"] == "0001-01-01T00:00:00Z") == (alert["status"] == "firing")
        assert re.fullmatch("[0-9a-f]{16}", alert["fingerprint"])
        for texts in (alert["labels"], alert["annotations"]):
            assert all(isinstance(one, str) for one in (*texts, *texts.values()))


def test_what_reaches_a_receiver(store, monkeypatch):
    monkeypatch.setenv("MONITORING_EXTERNAL_URL", "http://airflow.example:8080/")
    add_policy(store)
    fired = NOW - minutes(5)
    put_alert(
        store, "a1", service="sim", fired_at=fired, annotations={"summary": "仿真 fails", "x": "1"}
    )
    put_alert(
        store, "a2", service="solver", fired_at=fired, annotations={"summary": "other", "x": "1"}
    )
    with listening() as hook:
        ops = Receiver("ops", hook.url)
        notify(store, now=NOW, receivers=[ops])
        put_alert(store, "a1", service="sim", fired_at=fired, resolved_at=NOW)
        put_alert(store, "a2", service="solver", fired_at=fired, resolved_at=NOW)
        notify(store, now=NOW, receivers=[ops])
    firing, resolved = (one.payload for one in hook.received)
    check(firing)
    check(resolved)
    assert "仿真" in hook.received[0].body.decode()
    common = {"alertname": "request-timeouts", "severity": "critical", "team": "core"}
    by_service = {one["labels"]["service"]: one for one in firing["alerts"]}
    assert by_service["sim"] == {
        "status": "firing",
        "labels": {**common, "service": "sim"},
        "annotations": {"summary": "仿真 fails", "x": "1"},
        "startsAt": "2026-03-01T11:55:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://airflow.example:8080/monitoring/alerts/a1/history",
        "fingerprint": fingerprint({**common, "service": "sim"}),
    }
    del firing["alerts"]
    assert firing == {
        "version": "4",
        "groupKey": '{}:{alertname="request-timeouts"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "ops",
        "groupLabels": {"alertname": "request-timeouts"},
        "commonLabels": common,
        "commonAnnotations": {"x": "1"},
        "externalURL": "http://airflow.example:8080",
    }
    assert resolved["status"] == "resolved"
    assert {one["endsAt"] for one in resolved["alerts"]} == {"2026-03-01T12:00:00Z"}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        # from the tests of github.com/prometheus/common, model/signature_test.go
        ({}, 14695981039346656037),
        ({"name": "garland, briggs", "fear": "love is not enough"}, 5799056148416392346),
    ],
)
def test_a_fingerprint_is_prometheus_own(labels, expected):
    assert fingerprint(labels) == f"{expected:016x}"
    assert fingerprint(dict(reversed(labels.items()))) == f"{expected:016x}"


def test_a_group_key_is_quoted():
    group = Group({"b": 'say "x"\n', "a": "仿真"})
    assert group.key == '{}:{a="仿真", b="say \\"x\\"\\n"}'


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02T03:04:05.000006Z"),
        (
            datetime(2026, 1, 2, 11, 4, 5, tzinfo=timezone(timedelta(hours=8))),
            "2026-01-02T03:04:05Z",
        ),
    ],
)
def test_times_are_rfc_3339_in_utc(at, text):
    assert format_time(at) == text
    assert parse_time(text) == at


def test_an_end_is_never_before_its_start():
    alert = firing_alert({"alertname": "x"}, {}, NOW, "")
    assert resolved_alert(alert, NOW - minutes(1))["endsAt"] == format_time(NOW)


def test_what_is_common_is_so_in_the_alerts_that_are_shown():
    alerts = [firing_alert({"alertname": "x", "n": n}, {"n": n}, NOW, "") for n in "112"]
    cut = message("r", Group({}), alerts, external_url="", max_alerts=2)
    check(json.loads(json.dumps(cut)))
    assert cut["commonLabels"] == {"alertname": "x", "n": "1"}
    assert cut["truncatedAlerts"] == 1
    assert message("r", Group({}), alerts, external_url="")["commonAnnotations"] == {}
