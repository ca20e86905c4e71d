"""What is told, and what is not: each rule of the reconcile, in userdb."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from monitoring.alerts.acts import act
from monitoring.notify.definition import Receiver
from monitoring.notify.reconcile import reconcile
from monitoring.notify.routing.tree import Route, Routing
from sqlalchemy import event, select

from tests.notify.episodes import (
    NOW,
    add_policy,
    deliveries,
    minutes,
    put_alert,
    remove_policy,
    set_watermark,
    supersede,
    told,
)
from userdb.models import NotificationGroup
from userdb.store import open_store

HOOK = Receiver("ops", "http://127.0.0.1:9/hook")


def grouped(**fields):
    return Routing(Route(**fields))


def run(store, now=NOW, receivers=(HOOK,), **options):
    return reconcile(store, receivers, now=now, **options)


def test_an_alert_that_fires_is_told_once(store):
    add_policy(store)
    put_alert(store, "a")
    assert len(run(store).deliveries) == 1
    assert told(store) == [[("sim", "firing")]]
    assert run(store).deliveries == ()
    assert len(deliveries(store)) == 1


def test_its_end_is_told_with_the_start_that_was_told(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(5))
    run(store)
    put_alert(store, "a", fired_at=NOW - minutes(5), resolved_at=NOW)
    run(store)
    first, last = deliveries(store)
    assert [first.sequence, last.sequence] == [1, 2]
    assert (first.payload["status"], last.payload["status"]) == ("firing", "resolved")
    assert last.payload["alerts"][0]["startsAt"] == "2026-03-01T11:55:00Z"
    assert last.payload["alerts"][0]["endsAt"] == "2026-03-01T12:00:00Z"
    assert run(store).deliveries == ()


def test_what_is_resolved_by_hand_is_told_before_and_not_after_the_fold(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(5))
    put_alert(store, "b", fired_at=NOW - minutes(5), service="b", series_id=2)
    run(store)
    act(store, "a", "resolve", at=NOW + minutes(0.5), author="ops")
    run(store, now=NOW + minutes(0.6))
    _, last = deliveries(store)
    assert [(one["labels"]["service"], one["status"]) for one in last.payload["alerts"]] == [
        ("sim", "resolved"),
        ("b", "firing"),
    ]
    assert last.payload["alerts"][0]["endsAt"] == "2026-03-01T12:00:30Z"
    put_alert(store, "a", fired_at=NOW - minutes(5), resolved_at=NOW + minutes(1))
    set_watermark(store, NOW + minutes(1))
    assert run(store, now=NOW + minutes(1)).deliveries == ()


def test_a_pending_alert_is_not_told(store):
    add_policy(store)
    put_alert(store, "a", fired_at=None)
    assert run(store).deliveries == ()


def test_an_alert_that_joins_its_group_is_told_first_and_with_the_others(store):
    add_policy(store)
    put_alert(store, "a", service="a")
    run(store)
    put_alert(store, "b", service="b")
    put_alert(store, "c", service="c")
    run(store)
    first, second = told(store)
    assert first == [("a", "firing")]
    assert sorted(second[:2]) == [("b", "firing"), ("c", "firing")]
    assert second[2:] == [("a", "firing")]


def test_policies_are_groups_of_their_own(store):
    add_policy(store)
    add_policy(store, "other")
    put_alert(store, "a")
    put_alert(store, "b", policy="other")
    run(store)
    assert [row.group_key for row in deliveries(store)] == [
        '{}:{alertname="other"}',
        '{}:{alertname="request-timeouts"}',
    ]


def test_grouping_is_a_parameter(store):
    add_policy(store)
    add_policy(store, "other")
    put_alert(store, "a")
    put_alert(store, "b", policy="other")
    by_team = grouped(group_by=("team",))
    assert len(run(store, routing=by_team).deliveries) == 1
    assert deliveries(store)[0].payload["groupLabels"] == {"team": "core"}
    put_alert(store, "b", policy="other", resolved_at=NOW)
    run(store, routing=by_team)
    assert sorted(one["status"] for one in deliveries(store)[1].payload["alerts"]) == [
        "firing",
        "resolved",
    ]
    assert run(store, routing=by_team).deliveries == ()


def test_a_long_group_key_is_shortened_in_userdb_alone(store):
    add_policy(store)
    put_alert(store, "a", labels={"service": "s" * 400})
    by_service = grouped(group_by=("service",))
    run(store, routing=by_service)
    (row,) = deliveries(store)
    assert len(row.group_key) <= 255
    assert "s" * 400 in row.payload["groupKey"]
    assert run(store, routing=by_service).deliveries == ()


def test_a_start_that_moved_is_no_news(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(5))
    run(store)
    supersede(store, "a")
    put_alert(store, "earlier", fired_at=NOW - minutes(9))
    assert run(store).deliveries == ()
    # and the episode that it is now is the one whose end is told
    put_alert(store, "earlier", fired_at=NOW - minutes(9), resolved_at=NOW - minutes(1))
    run(store)
    assert told(store) == [[("sim", "firing")], [("sim", "resolved")]]
    assert "retracted" not in deliveries(store)[1].payload["alerts"][0]["annotations"]
    assert run(store).deliveries == ()


def test_a_start_that_moved_and_an_end_in_one_fold(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(5))
    run(store)
    supersede(store, "a")
    put_alert(store, "earlier", fired_at=NOW - minutes(9), resolved_at=NOW - minutes(2))
    run(store)
    last = deliveries(store)[1].payload["alerts"][0]
    assert last["endsAt"] == "2026-03-01T11:58:00Z"
    assert "retracted" not in last["annotations"]
    assert run(store).deliveries == ()


@pytest.mark.parametrize("how", ["superseded", "never fired"])
def test_an_alert_that_never_was_is_retracted(store, how):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(5))
    run(store)
    if how == "superseded":
        supersede(store, "a")
    else:
        put_alert(store, "a", fired_at=None, state="resolved", resolved_at=NOW)
    run(store)
    first, last = (row.payload["alerts"][0] for row in deliveries(store))
    assert last["status"] == "resolved"
    assert last["annotations"]["retracted"]
    assert last["startsAt"] == first["startsAt"]
    assert last["labels"] == first["labels"]
    assert run(store).deliveries == ()


def test_a_retracted_alert_that_is_true_again_is_told_again(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(5))
    run(store)
    supersede(store, "a")
    run(store)
    put_alert(store, "a", fired_at=NOW - minutes(5))
    run(store)
    assert [one[0][1] for one in told(store)] == ["firing", "resolved", "firing"]


def test_an_episode_that_came_and_went_between_two_runs_is_told_in_two_messages(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(40), resolved_at=NOW - minutes(30))
    put_alert(store, "b", fired_at=NOW - minutes(20), resolved_at=NOW - minutes(10))
    run(store)
    assert [one[0][1] for one in told(store)] == ["firing", "resolved", "firing", "resolved"]
    assert [row.payload["alerts"][0]["startsAt"][11:16] for row in deliveries(store)] == [
        "11:20",
        "11:20",
        "11:40",
        "11:40",
    ]
    assert run(store).deliveries == ()


def test_an_episode_that_ended_over_an_hour_ago_is_history(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(90), resolved_at=NOW - minutes(61))
    assert run(store).deliveries == ()


def test_an_end_is_told_however_long_ago_it_was(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(10))
    run(store)
    later = NOW + timedelta(hours=30)
    set_watermark(store, later)
    put_alert(store, "a", fired_at=NOW - minutes(10), resolved_at=NOW + minutes(1))
    run(store, now=later)
    assert told(store)[1] == [("sim", "resolved")]
    assert run(store, now=later).deliveries == ()


def test_an_end_and_the_next_beginning_are_two_messages(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(30))
    run(store)
    put_alert(store, "a", fired_at=NOW - minutes(30), resolved_at=NOW - minutes(20))
    put_alert(store, "b", fired_at=NOW - minutes(10))
    run(store)
    assert [one[0][1] for one in told(store)] == ["firing", "resolved", "firing"]
    assert run(store).deliveries == ()


def test_an_earlier_episode_is_not_told_again_when_another_alert_joins(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(30), resolved_at=NOW - minutes(20))
    put_alert(store, "b", fired_at=NOW - minutes(10))
    run(store)
    put_alert(store, "c", service="other")
    run(store)
    assert told(store)[-2:] == [
        [("sim", "firing")],
        [("other", "firing"), ("sim", "firing")],
    ]
    put_alert(store, "b", fired_at=NOW - minutes(10), resolved_at=NOW)
    run(store)
    put_alert(store, "c", service="other", resolved_at=NOW)
    run(store)
    assert told(store)[-1] == [("other", "resolved")]


def test_an_episode_shorter_than_the_wait_is_not_told(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(10), resolved_at=NOW - minutes(9))
    put_alert(store, "b", service="b", fired_at=NOW - minutes(1))
    patient = grouped(wait=minutes(2))
    assert run(store, routing=patient).deliveries == ()
    set_watermark(store, NOW + minutes(1))
    run(store, now=NOW + minutes(1), routing=patient)
    assert told(store) == [[("b", "firing")]]


def test_what_is_not_known_any_more_is_neither_told_nor_taken_back(store):
    add_policy(store)
    put_alert(store, "a")
    run(store)
    supersede(store, "a")
    put_alert(store, "b", service="b")
    late = NOW + minutes(16)
    report = run(store, now=late)
    assert report.deliveries == ()
    assert report.stale == ("request-timeouts",)
    assert run(store, now=NOW + minutes(15)).deliveries


def test_the_present_lasts_two_evaluation_intervals(store):
    add_policy(store, evaluation_interval="10m", window="10m")
    put_alert(store, "a")
    assert run(store, now=NOW + minutes(21)).deliveries == ()
    assert run(store, now=NOW + minutes(20)).deliveries


def test_a_policy_that_was_never_evaluated_is_not_present(store):
    add_policy(store, watermark=None)
    put_alert(store, "a")
    assert run(store).deliveries == ()


def test_alerts_of_a_removed_policy_are_over(store):
    add_policy(store)
    put_alert(store, "a")
    run(store)
    remove_policy(store)
    run(store, now=NOW + timedelta(hours=5))
    assert told(store) == [[("sim", "firing")], [("sim", "resolved")]]
    assert run(store, now=NOW + timedelta(hours=5)).deliveries == ()


def test_who_wants_no_ends_is_told_the_next_beginning(store):
    add_policy(store)
    firing_only = Receiver("ops", HOOK.url, send_resolved=False)
    put_alert(store, "a", fired_at=NOW - minutes(30))
    run(store, receivers=[firing_only])
    put_alert(store, "a", fired_at=NOW - minutes(30), resolved_at=NOW - minutes(20))
    run(store, receivers=[firing_only])
    put_alert(store, "b", fired_at=NOW - minutes(10))
    run(store, receivers=[firing_only])
    assert told(store) == [[("sim", "firing")], [("sim", "firing")]]


def test_a_receiver_that_is_added_later_is_told_what_fires(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(600))
    run(store)
    assert run(store, receivers=[HOOK, Receiver("new", "http://127.0.0.1:9")]).deliveries
    assert [row.receiver for row in deliveries(store)] == ["new", "ops"]


def test_a_large_group_is_cut_and_keeps_what_is_new(store):
    add_policy(store)
    for number in range(5):
        put_alert(store, f"a{number}", service=f"s{number}")
    small = Receiver("ops", HOOK.url, max_alerts=2)
    run(store, receivers=[small])
    put_alert(store, "a3", service="s3", resolved_at=NOW)
    run(store, receivers=[small])
    first, last = (row.payload for row in deliveries(store))
    assert (len(first["alerts"]), first["truncatedAlerts"]) == (2, 3)
    assert last["alerts"][0]["labels"]["service"] == "s3"
    assert (last["status"], last["truncatedAlerts"]) == ("firing", 3)


def test_what_was_told_long_ago_is_forgotten(store):
    add_policy(store)
    put_alert(store, "a", resolved_at=NOW)
    run(store)
    later = NOW + timedelta(hours=48)
    set_watermark(store, later)
    put_alert(store, "b", service="b", fired_at=later)
    run(store, now=later)
    with store.read() as connection:
        kept = connection.scalar(select(NotificationGroup.told))
    assert [one["episode"] for one in kept.values()] == ["b"]


def test_reconciles_at_the_same_time_insert_each_message_once(store):
    add_policy(store)
    for number in range(4):
        put_alert(store, f"a{number}", service=f"s{number}")
    others = [open_store(store.url.url.render_as_string(hide_password=False)) for _ in range(4)]
    start = threading.Barrier(len(others))
    found = []

    def race(one):
        start.wait()
        found.append(len(run(one).deliveries))

    threads = [threading.Thread(target=race, args=[one]) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in others:
        one.close()
    assert sorted(found) == [0, 0, 0, 1]
    assert len(deliveries(store)) == 1


def test_a_reconcile_waits_for_the_one_that_holds_the_group(store):
    add_policy(store)
    put_alert(store, "a")
    run(store)
    put_alert(store, "b", service="b")
    url = store.url.url.render_as_string(hide_password=False)
    slow, fast = open_store(url), open_store(url)
    deciding = threading.Event()

    @event.listens_for(slow.engine, "commit")
    def linger(_connection):
        deciding.set()
        time.sleep(0.5)

    thread = threading.Thread(target=run, args=[slow])
    thread.start()
    assert deciding.wait(10)
    assert run(fast).deliveries == ()
    thread.join()
    slow.close()
    fast.close()
    assert len(deliveries(store)) == 2


def test_a_flapping_alert_is_told_once_and_its_end_when_it_is_calm(store):
    add_policy(store)
    put_alert(store, "a", fired_at=NOW - minutes(40), flapping_at=NOW - minutes(30))
    run(store)
    # it opens and resolves again and again: nobody is told
    ended = {"fired_at": NOW - minutes(40), "resolved_at": NOW - minutes(30)}
    put_alert(store, "a", **ended, flapping_at=NOW - minutes(30))
    assert run(store).deliveries == ()
    put_alert(store, "b", fired_at=NOW - minutes(20))
    assert run(store).deliveries == ()
    put_alert(store, "b", fired_at=NOW - minutes(20), resolved_at=NOW - minutes(15))
    assert run(store).deliveries == ()
    put_alert(store, "a", **ended, flapping_at=NOW - minutes(30), calm_at=NOW)
    run(store)
    assert told(store) == [[("sim", "firing")], [("sim", "resolved")]]
    assert deliveries(store)[1].payload["alerts"][0]["endsAt"] == "2026-03-01T11:45:00Z"
    assert run(store).deliveries == ()


def test_an_alert_that_flapped_between_two_runs_is_told_although_it_just_resolved(store):
    add_policy(store)
    put_alert(
        store,
        "a",
        fired_at=NOW - minutes(9),
        resolved_at=NOW - minutes(6),
        flapping_at=NOW - minutes(6),
    )
    put_alert(store, "b", fired_at=NOW - minutes(4), resolved_at=NOW - minutes(1))
    run(store)
    assert told(store) == [[("sim", "firing")]]
    assert deliveries(store)[0].payload["alerts"][0]["annotations"]["flapping"]
    assert run(store).deliveries == ()
