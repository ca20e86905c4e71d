"""The chain's own health, as Prometheus reads it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from monitoring.alerts.acts import act
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from tests.monitoring.facts import cover, put_requests
from tests.monitoring.test_history import run, write_policies
from userdb.migrate import head
from userdb.models import Delivery, Dirty
from userdb.times import from_minute, to_minute

POLICIES = """
policies:
  - name: timeouts
    signal: requests.timeouts
    by: [service]
    condition: "> 5"
    window: 1m
    severity: critical
  - name: errors
    signal: requests.server_errors
    condition: "> 5"
    for: 10m
"""


def scrape(asking):
    response = asking.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(response.text))
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }
    assert len(samples) == sum(len(family.samples) for family in families)
    return families, samples


@pytest.fixture
def chain(store, tmp_path):
    """Two services time out now, and one fails; all but the last half hour was collected."""
    now = datetime.now(UTC)
    end = to_minute(now) - 1
    for service in ("a", "b"):
        rows = {m: {"requests": 10, "timeout": 9} for m in range(end - 5, end)}
        put_requests(store, rows, service=service)
    put_requests(
        store, {m: {"requests": 9, "server_error": 9} for m in range(end - 5, end)}, service="c"
    )
    cover(store, end - 2000, end - 90)
    cover(store, end - 60, end)
    cover(store, end - 90, end - 60, status="failed")
    run(store, write_policies(tmp_path / "p", POLICIES), end - 60, end, now=now)
    return from_minute(end)


def delivery(number, status, receiver="ops"):
    now = datetime.now(UTC)
    return {
        "id": f"{number:032x}",
        "receiver": receiver,
        "group_key": "g",
        "sequence": number,
        "status": status,
        "payload": {"alerts": []},
        "kind": "alerts",
        "context": {},
        "attempts": 1,
        "created_at": now,
        "next_attempt_at": now,
    }


def test_an_empty_chain_has_zeros_where_they_are_known(asking):
    _, samples = scrape(asking)
    assert samples["monitoring_dead_letters",] == 0
    assert samples["monitoring_collected_rows_total", "request_logs"] == 0
    assert samples["monitoring_collections_total", "request_logs", "failed"] == 0
    assert samples["monitoring_collector_covered_ratio", "request_logs"] == 0


def test_policies_collectors_alerts_and_the_outbox_are_told(asking, chain, store):
    rows = [delivery(1, "dead"), delivery(2, "sent"), delivery(3, "sent"), delivery(4, "pending")]
    dirty = {"token": "t", "policy": "errors", "first_minute": 1, "last_minute": 1}

    def write(connection):
        connection.execute(insert(Delivery), rows)
        connection.execute(insert(Dirty), [dirty])

    store.write(write)
    _, samples = scrape(asking)
    age = samples["monitoring_policy_watermark_age_seconds", "timeouts"]
    passed = (datetime.now(UTC) - chain).total_seconds()
    assert passed - 10 < age <= passed
    assert samples["monitoring_policy_stale", "timeouts"] == 0
    assert samples["monitoring_alerts", "timeouts", "critical", "firing"] == 2
    assert samples["monitoring_alerts", "timeouts", "critical", "pending"] == 0
    assert samples["monitoring_alerts", "errors", "warning", "pending"] == 1
    name = "monitoring_collector_last_success_timestamp_seconds"
    assert samples[name, "request_logs"] == chain.timestamp()
    assert (name, "container_stats") not in samples
    assert samples["monitoring_collector_overdue_windows", "request_logs"] == 1
    assert samples["monitoring_collector_overdue_seconds", "request_logs"] == 30 * 60
    assert samples["monitoring_collections_total", "request_logs", "ok"] == 2
    assert samples["monitoring_collections_total", "request_logs", "failed"] == 1
    assert samples["monitoring_deliveries", "ops", "sent"] == 2
    assert samples["monitoring_deliveries", "ops", "sending"] == 0
    assert samples["monitoring_dead_letters",] == 1
    assert samples["monitoring_dirty_tokens", "errors"] == 1
    assert samples["monitoring_dirty_tokens", "timeouts"] == 0
    assert samples["monitoring_schema_info", head(), head()] == 1


def test_an_alert_that_was_resolved_by_hand_counts_no_more(asking, chain, store):
    alert = asking.get("/api/v1/alerts", params={"state": "firing"}).json()[0]
    act(store, alert["id"], "resolve", at=datetime.now(UTC) + timedelta(seconds=1), author="a")
    _, samples = scrape(asking)
    assert samples["monitoring_alerts", "timeouts", "critical", "firing"] == 1


def send_events(asking):
    good = {"event_id": "one", "message": "failed"}
    sent = [
        good,
        {"message": 7},
        {"message": "from the future", "occurred_at": "2999-01-01T00:00Z"},
    ]
    response = asking.post("/api/v1/events", json=sent)
    assert response.status_code == 200, response.text


def test_events_are_counted_by_what_became_of_them(asking, store):
    _, before = scrape(asking)
    for _ in range(2):
        send_events(asking)
    _, after = scrape(asking)
    counted = {key: number - before.get(key, 0) for key, number in after.items()}
    results = {
        key[1]: number
        for key, number in counted.items()
        if key[0] == "monitoring_received_events_total" and key[2] == "ops"
    }
    assert results == {"stored": 1, "repeated": 1, "rejected": 4}


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_the_page_names_every_metric_with_its_labels(asking, chain, store):
    store.write(lambda connection: connection.execute(insert(Delivery), [delivery(1, "sent")]))
    send_events(asking)
    families, _ = scrape(asking)
    told = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    page = Path(__file__).parents[3] / "docs" / "reads.md"
    rows = re.findall(r"^\| `(monitoring_\w+)` \|([^|]*)\|", page.read_text("utf-8"), re.M)
    assert {name: set(re.findall(r"\w+", labels)) for name, labels in rows} == told


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_names_and_helps_are_as_prometheus_wants_them(asking, chain):
    """What ``promtool check metrics`` asks for."""
    families, _ = scrape(asking)
    assert len(families) > 10
    for family in families:
        assert re.fullmatch(r"monitoring_[a-z]+(_[a-z]+)*", family.name)
        assert family.documentation.endswith("."), family.name
        assert family.type in ("counter", "gauge"), family.name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")
        for abbreviation in ("_ms", "_sec", "_s", "_pct", "_percent", "_minutes", "_gauge"):
            assert not family.name.endswith(abbreviation)
