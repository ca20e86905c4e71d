"""A real Alertmanager groups, silences and resolves what it is pushed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from monitoring.notify import Receiver, notify
from monitoring.notify.alertmanager import posted
from monitoring.notify.channels import open_channel
from monitoring.notify.payload import format_time, parse_time

from tests.notify.episodes import add_policy, put_alert
from tests.notify.hooks import Hook, answer, listening
from tests.notify.messages import alert, message_of
from tests.servers.alertmanager import AlertmanagerServer, run_alertmanager
from userdb.errors import ConfigError, DeliveryError


def now() -> datetime:
    return datetime.now(UTC)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "Alertmanager did not do it within 10 s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with listening() as one:
        yield one


@pytest.fixture(scope="module")
def server(hook: Hook) -> Iterator[AlertmanagerServer]:
    with run_alertmanager(hook.url) as one:
        yield one


def push(server, *alerts, **options):
    channel = open_channel(Receiver("am", server.url, kind="alertmanager", options=options))
    try:
        return channel.send(message_of(*alerts, sent_at=now()))
    finally:
        channel.close()


def told(hook, name):
    return [one.payload for one in hook.received if one.payload["groupLabels"]["alertname"] == name]


@pytest.mark.alertmanager
def test_it_groups_and_resolves_what_is_pushed(server, hook):
    began = now().replace(microsecond=0) - timedelta(minutes=20)
    sims = [alert(alertname="grouped", fired_at=began, service=name) for name in ("a", "b")]
    assert push(server, *sims).http_status == 200
    wait_for(lambda: told(hook, "grouped"))
    (first,) = told(hook, "grouped")
    assert first["status"] == "firing"
    assert sorted(one["labels"]["service"] for one in first["alerts"]) == ["a", "b"]
    assert {one["startsAt"] for one in first["alerts"]} == {format_time(began)}
    # the same alert has the same identity on both sides
    assert {one["fingerprint"] for one in first["alerts"]} == {one["fingerprint"] for one in sims}
    assert first["alerts"][0]["generatorURL"] == sims[0]["generatorURL"]
    assert first["commonAnnotations"] == sims[0]["annotations"]
    end = began + timedelta(minutes=10)
    push(server, *(alert(**{**one["labels"]}, fired_at=began, resolved_at=end) for one in sims))
    wait_for(lambda: told(hook, "grouped")[-1]["status"] == "resolved")
    assert {one["endsAt"] for one in told(hook, "grouped")[-1]["alerts"]} == {format_time(end)}
    assert [one for one in server.alerts() if one["labels"]["alertname"] == "grouped"] == []


@pytest.mark.alertmanager
def test_a_firing_alert_outlives_its_resolve_timeout_and_repeats_move_its_end(server):
    push(server, alert(alertname="lasting"))
    (held,) = [one for one in server.alerts() if one["labels"]["alertname"] == "lasting"]
    first = parse_time(held["endsAt"])
    assert first - now() > timedelta(days=6, hours=23)
    time.sleep(0.01)
    push(server, alert(alertname="lasting"), expires="30d")
    (held,) = [one for one in server.alerts() if one["labels"]["alertname"] == "lasting"]
    assert parse_time(held["endsAt"]) - first > timedelta(days=22)
    assert held["status"]["state"] == "active"


@pytest.mark.alertmanager
def test_it_silences_what_is_pushed(server, hook):
    server.silence(
        "alertname",
        "quiet",
        start=format_time(now() - timedelta(seconds=5)),
        end=format_time(now() + timedelta(hours=1)),
    )
    push(server, alert(alertname="quiet"))
    push(server, alert(alertname="loud"))
    wait_for(lambda: told(hook, "loud"))

    def state():
        return [
            one["status"]["state"]
            for one in server.alerts()
            if one["labels"]["alertname"] == "quiet"
        ]

    wait_for(lambda: state() == ["suppressed"])
    assert told(hook, "quiet") == []
    groups = {one["labels"]["alertname"] for one in server.groups()}
    assert {"quiet", "loud"} <= groups


@pytest.mark.alertmanager
def test_names_that_it_would_refuse_are_changed(server):
    push(server, alert(alertname="odd", **{"cost-center": "7", "2nd": "x"}))
    (held,) = [one for one in server.alerts() if one["labels"]["alertname"] == "odd"]
    assert held["labels"]["cost_center"] == "7"
    assert held["labels"]["_2nd"] == "x"


@pytest.mark.alertmanager
def test_what_the_chain_decides_fires_and_ends_there(server, hook, sqlite_store):
    began = now().replace(second=0, microsecond=0) - timedelta(minutes=10)
    add_policy(sqlite_store, "decided", watermark=began + timedelta(minutes=9))
    receivers = [Receiver("am", server.url, kind="alertmanager")]
    put_alert(sqlite_store, "e", policy="decided", fired_at=began)
    assert notify(sqlite_store, now=now(), receivers=receivers).sent == 1
    wait_for(lambda: told(hook, "decided"))
    put_alert(sqlite_store, "e", policy="decided", fired_at=began, resolved_at=began)
    assert notify(sqlite_store, now=now(), receivers=receivers).sent == 1
    wait_for(lambda: told(hook, "decided")[-1]["status"] == "resolved")
    assert [one["status"] for one in told(hook, "decided")] == ["firing", "resolved"]


@pytest.mark.alertmanager
def test_what_it_refuses_is_a_permanent_error(server):
    with pytest.raises(DeliveryError) as caught:
        push(server, {**alert(), "labels": {}})
    assert (caught.value.permanent, caught.value.http_status) == (True, 400)


def test_it_posts_below_the_base_with_the_key_and_the_headers_and_obeys_retry_after():
    with listening(answer(429, b"later", Retry_After="7")) as hook:
        url = hook.url.replace("http://", "http://me:pass-word@").replace("/hook", "/am/")
        channel = open_channel(
            Receiver("am", url, kind="alertmanager", headers={"X-Scope-OrgID": "a"})
        )
        with pytest.raises(DeliveryError) as caught:
            channel.send(message_of())
    got = hook.received[0]
    assert (got.key, got.headers["X-Scope-OrgID"]) == ("f" * 32, "a")
    assert got.headers["Authorization"].startswith("Basic ")
    assert json.loads(got.body)[0]["labels"]["service"] == "sim"
    assert (caught.value.permanent, caught.value.retry_after_s) == (False, 7.0)


def test_an_alert_without_a_page_has_no_generator_url():
    one = {**alert(), "generatorURL": ""}
    assert "generatorURL" not in posted(one, now())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"expires": "1m"}, r"options\.expires: must be at least 5m"),
        ({"expires": "soon"}, r"options\.expires"),
        ({"expire": "1d"}, r"options\.expire: Extra inputs"),
    ],
)
def test_a_wrong_option_is_named(options, says):
    with pytest.raises(ConfigError, match=says) as caught:
        open_channel(Receiver("am", "http://am", kind="alertmanager", options=options))
    assert "receiver 'am'" in str(caught.value)
