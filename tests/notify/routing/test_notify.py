"""The notify step reads routing.yaml, tells what is wrong with it, and tells everyone it can."""

from __future__ import annotations

import pytest
from monitoring.notify import Receiver, notify

from tests.notify.episodes import NOW, add_policy, minutes, put_alert, set_watermark
from tests.notify.hooks import listening


@pytest.fixture
def routes(tmp_path, monkeypatch):
    path = tmp_path / "routing.yaml"
    monkeypatch.setenv("MONITORING_ROUTING", str(path))
    return path


def test_a_receiver_that_is_not_set_up_is_named_and_the_others_are_told(sqlite_store, routes):
    routes.write_text(
        """
route:
  receiver: ops
  routes:
    - {receiver: oncal, matchers: ['severity="critical"'], continue: true}
    - {receiver: ops}
"""
    )
    add_policy(sqlite_store)
    put_alert(sqlite_store, "a")
    with listening() as hook:
        report = notify(sqlite_store, now=NOW, receivers=[Receiver("ops", hook.url)], deadline_s=5)
        assert len(hook.received) == 1
        assert hook.received[0].payload["groupKey"].startswith("{}/{}:")
    (error,) = report.errors.values()
    assert "'oncal', which {}/{severity=\"critical\"} of routing.yaml names" in error
    assert "there are ops" in error
    assert report.sent == 1


def test_a_file_that_is_wrong_is_told_and_everyone_is_told_everything(sqlite_store, routes):
    routes.write_text("route: [")
    add_policy(sqlite_store)
    put_alert(sqlite_store, "a")
    with listening() as hook:
        report = notify(sqlite_store, now=NOW, receivers=[Receiver("ops", hook.url)], deadline_s=5)
        assert len(hook.received) == 1
    assert list(report.errors) == [str(routes)]


def test_calling_it_every_minute_repeats_and_escalates(sqlite_store, routes):
    routes.write_text(
        """
route:
  receiver: ops
  group_interval: 1m
  repeat_interval: 10m
  escalate: [{after: 5m, receiver: lead}]
"""
    )
    add_policy(sqlite_store)
    put_alert(sqlite_store, "a")
    with listening() as ops, listening() as lead:
        receivers = [Receiver("ops", ops.url), Receiver("lead", lead.url)]
        for minute in range(12):
            set_watermark(sqlite_store, NOW + minutes(minute))
            notify(sqlite_store, now=NOW + minutes(minute), receivers=receivers, deadline_s=5)
        assert (len(ops.received), len(lead.received)) == (2, 1)
