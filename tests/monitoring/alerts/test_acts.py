"""What operators do about alerts: in event time, and whatever late data makes of the episode."""

from __future__ import annotations

from datetime import timedelta

import pytest
from monitoring.alerts.acts import act, acts_of, is_acknowledged, successors
from monitoring.alerts.history import update_alerts
from monitoring.alerts.read import ActRow, alert_history, get_alert, read_history
from monitoring.alerts.search import list_alerts
from monitoring.notify.present import Reference, read_present
from monitoring.replay import replay
from monitoring.window import Window
from sqlalchemy import func, select

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests
from tests.monitoring.test_history import quiet, run, steps, timeouts, write_policies
from userdb.errors import AlertError, NaiveDatetimeError
from userdb.models import OperatorAction
from userdb.times import from_minute

POLICIES = """
policies:
  - name: timeouts
    signal: requests.timeouts
    by: [service]
    condition: "> 5"
    window: 1m
    flapping: null
  - {name: both, kind: composite, all: [timeouts]}
"""


@pytest.fixture
def loaded(store, tmp_path):
    loaded = write_policies(tmp_path / "p", POLICIES)
    assert not loaded.errors
    put_requests(store, quiet(*range(20)) | timeouts(*range(4, 9), *range(12, 15)))
    cover(store, T0 - 30, T0 + 20)
    run(store, loaded, T0, T0 + 20)
    assert steps(store) == [
        (5, "pending"),
        (5, "firing"),
        (10, "resolved"),
        (13, "pending"),
        (13, "firing"),
        (16, "resolved"),
    ]
    return loaded


def at(minute: int, second: int = 0):
    return from_minute(T0 + minute) + timedelta(seconds=second)


def episodes(store, policy: str = "timeouts"):
    with store.read() as connection:
        return sorted(list_alerts(connection, policy=policy), key=lambda one: one.active_at)


def test_resolving_ends_the_episode_at_the_next_evaluation_until_it_was_clear(store, loaded):
    first, _ = episodes(store)
    act(store, first.id, "resolve", at=at(6, 30), author="ops", note="a deployment")
    report = update_alerts(store, now=LONG_AFTER)
    assert not report.errors
    # the breach goes on to minute 9 and opens nothing; the one at 13 does
    assert steps(store) == [
        (5, "pending"),
        (5, "firing"),
        (7, "resolved"),
        (13, "pending"),
        (13, "firing"),
        (16, "resolved"),
    ]
    with store.read() as connection:
        reasons = [row.reason for row in alert_history(connection, first.id)]
    assert reasons[-1] == "resolved by hand"
    assert [one.resolved_at for one in episodes(store)] == [at(7), at(16)]


def test_a_composite_sees_its_policies_as_if_nobody_had_done_anything(store, loaded):
    before = steps(store, "both")
    assert (10, "resolved") in before
    act(store, episodes(store)[0].id, "resolve", at=at(6), author="ops")
    update_alerts(store, now=LONG_AFTER)
    assert (6, "resolved") in steps(store)
    assert steps(store, "both") == before


def test_an_acknowledgement_goes_with_the_episode_to_what_late_data_makes_of_it(store, loaded):
    first, second = episodes(store)
    act(store, first.id, "acknowledge", at=at(9, 10), author="ops")
    # the episode is split, and its first part begins later
    put_requests(store, quiet(4, 7))
    run(store, loaded, T0, T0 + 1)
    one, two, three = episodes(store)
    assert [(e.active_at, e.resolved_at) for e in (one, two, three)] == [
        (at(6), at(8)),
        (at(9), at(10)),
        (at(13), at(16)),
    ]
    with store.read() as connection:
        acknowledged = [is_acknowledged(acts_of(connection, e.id)) for e in (one, two, three)]
        assert acknowledged == [True, True, False]
        assert successors(connection, first.id) == [one.id, two.id]
        assert successors(connection, second.id) == [three.id] == [second.id]
    act(store, two.id, "unacknowledge", at=at(9, 50), author="ops")
    with store.read() as connection:
        assert not is_acknowledged(acts_of(connection, two.id))
        assert is_acknowledged(acts_of(connection, one.id))


def test_acts_that_make_no_sense_are_refused(store, loaded):
    first, _ = episodes(store)
    with pytest.raises(AlertError, match="there is no alert nobody"):
        act(store, "nobody", "acknowledge", at=at(6), author="ops")
    with pytest.raises(AlertError, match="after the act"):
        act(store, first.id, "acknowledge", at=at(1), author="ops")
    with pytest.raises(AlertError, match="nothing to resolve"):
        act(store, first.id, "resolve", at=at(12), author="ops")
    with pytest.raises(NaiveDatetimeError):
        act(store, first.id, "comment", at=at(6).replace(tzinfo=None), author="ops")


def test_what_operators_say_shows_with_the_alert_and_in_its_history(store, loaded):
    first, second = episodes(store)
    act(store, first.id, "acknowledge", at=at(6), author="ann", note="on it")
    act(store, first.id, "assign", at=at(7), author="ann", assignee="bob")
    # long after both are over
    act(store, first.id, "comment", at=at(18), author="bob", note="  a deployment ")
    # which is not about the other, though it was going on in between
    act(store, first.id, "true_positive", at=at(18), author="bob")
    act(store, first.id, "false_positive", at=at(19), author="bob")
    one, two = episodes(store)
    assert (one.acknowledged_by, one.acknowledged_at, one.assignee, one.mark) == (
        "ann",
        at(6),
        "bob",
        "false_positive",
    )
    assert (two.acknowledged_by, two.assignee, two.mark) == (None, None, None)
    with store.read() as connection:
        history = read_history(connection, first.id)
        assert read_history(connection, second.id) == alert_history(connection, second.id)
        acts = [row for row in read_history(connection) if isinstance(row, ActRow)]
        assert len(acts) == 5
        until = read_history(connection, policy="timeouts", since=at(7), until=at(18))
    assert [
        (row.at, row.action if isinstance(row, ActRow) else row.to_state) for row in history
    ] == [
        (at(5), "pending"),
        (at(5), "firing"),
        (at(6), "acknowledge"),
        (at(7), "assign"),
        (at(10), "resolved"),
        (at(18), "comment"),
        (at(18), "true_positive"),
        (at(19), "false_positive"),
    ]
    assert [(row.author, row.note) for row in acts[:3]] == [
        ("ann", "on it"),
        ("ann", None),
        ("bob", "a deployment"),
    ]
    assert [type(row).__name__ for row in until].count("ActRow") == 1


def test_what_is_resolved_by_hand_is_over_at_once_and_the_fold_agrees(store, tmp_path):
    text = POLICIES.replace("window: 1m", "window: 1m\n    evaluation_interval: 5m")
    loaded = write_policies(tmp_path / "p", text)
    put_requests(store, quiet(*range(20)) | timeouts(*range(4, 20)))
    cover(store, T0 - 30, T0 + 20)
    run(store, loaded, T0, T0 + 11)
    (firing,) = episodes(store)
    assert (firing.state, firing.active_at) == ("firing", at(5))
    done = at(11, 20)
    act(store, firing.id, "resolve", at=done, author="ops")

    def present(now):
        with store.read() as connection:
            return read_present(
                connection,
                now=now,
                references=[Reference(firing.id, "timeouts", at(5))],
                policies=["timeouts"],
            )

    def listed(**filters):
        with store.read() as connection:
            return list_alerts(connection, policy="timeouts", **filters)

    (before,) = listed(state="resolved")
    assert (before.state, before.fired_at, before.resolved_at) == ("resolved", at(5), at(15))
    assert listed(state="firing") == listed(since=at(16)) == []
    now = present(at(12))
    assert now.firing == {}
    assert [one.resolved_at for some in now.ended.values() for one in some] == [done]
    assert now.standing[firing.id].resolved_at == done
    with pytest.raises(AlertError, match="is over since"):
        act(store, firing.id, "resolve", at=at(12), author="ops")

    run(store, loaded, T0 + 11, T0 + 20)
    assert listed() == [before]
    assert present(at(20)).firing == {}
    assert steps(store) == [(5, "pending"), (5, "firing"), (15, "resolved")]


def test_an_act_holds_for_the_first_evaluation_also_where_the_interval_changed(store, tmp_path):
    text = POLICIES.replace("window: 1m", "window: 1m\n    evaluation_interval: 5m")
    put_requests(store, quiet(*range(20)) | timeouts(*range(4, 20)))
    cover(store, T0 - 30, T0 + 20)
    run(store, write_policies(tmp_path / "p", text), T0, T0 + 11)
    # in force from minute 13 on; the act is at 12, and 15 was to be the next evaluation
    edited = write_policies(tmp_path / "p", POLICIES)
    run(store, edited, T0 + 11, T0 + 12, now=at(13))
    run(store, edited, T0 + 12, T0 + 20)
    act(store, episodes(store)[0].id, "resolve", at=at(11, 30), author="ops")
    (shown,) = episodes(store)
    update_alerts(store, now=LONG_AFTER)
    assert steps(store) == [(5, "pending"), (5, "firing"), (14, "resolved")]
    assert episodes(store) == [shown]


def test_a_worse_severity_takes_an_acknowledgement_back(store, loaded, tmp_path):
    first, _ = episodes(store)
    act(store, first.id, "acknowledge", at=at(6), author="ann")

    def replayed(severity):
        text = POLICIES.replace("flapping: null", f"flapping: null\n    severity: {severity}")
        edited = write_policies(tmp_path / "p", text)
        report = replay(
            store,
            Window.of_minutes(T0, T0 + 20),
            now=LONG_AFTER,
            loaded=edited,
            todays=True,
        )
        assert not report.errors
        return episodes(store)[0]

    assert replayed("info").acknowledged_by == "ann"
    worse = replayed("critical")
    assert (worse.id, worse.severity, worse.acknowledged_by) == (first.id, "critical", None)
    with store.read() as connection:
        assert not is_acknowledged(acts_of(connection, first.id))
        assert (
            acts_of(connection, first.id)[-1].note == "acknowledged as warning, and is critical now"
        )
    act(store, first.id, "acknowledge", at=at(7), author="bob")
    assert episodes(store)[0].acknowledged_by == "bob"


def test_an_id_that_late_data_made_untrue_leads_to_its_successors(store, loaded):
    first, _ = episodes(store)
    put_requests(store, quiet(4, 7))
    run(store, loaded, T0, T0 + 1)
    one, two, _ = episodes(store)
    assert act(store, first.id, "comment", at=at(9, 30), author="ops", note="?") == [one.id, two.id]
    # only one of the two was still going on
    assert act(store, first.id, "resolve", at=at(9, 30), author="ops") == [two.id]
    put_requests(store, quiet(*range(20)))
    run(store, loaded, T0, T0 + 1)
    with pytest.raises(AlertError, match="never was"):
        act(store, first.id, "comment", at=at(9), author="ops", note="?")


@pytest.mark.parametrize(
    ("action", "values", "says"),
    [
        ("comment", {}, "needs a text"),
        ("comment", {"note": "  "}, "needs a text"),
        ("comment", {"note": "x" * 10_001}, "more than 10000 characters"),
        ("assign", {}, "the person that it is assigned to"),
        ("acknowledge", {"author": " "}, "the author .* is missing"),
        ("acknowledge", {"author": "a" * 256}, "more than 255 characters"),
        ("unacknowledge", {}, "is not acknowledged"),
    ],
)
def test_acts_that_say_nothing_are_refused_and_leave_nothing(store, loaded, action, values, says):
    first, _ = episodes(store)
    with pytest.raises(AlertError, match=says):
        act(store, first.id, action, **{"at": at(6), "author": "ops", **values})
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(OperatorAction)) == 0
        assert get_alert(connection, first.id) == first
