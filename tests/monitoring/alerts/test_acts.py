"""What operators do about alerts: in event time, and whatever late data makes of the episode."""

from __future__ import annotations

from datetime import timedelta

import pytest
from monitoring.alerts.acts import act, acts_of, is_acknowledged, successors
from monitoring.alerts.history import update_alerts
from monitoring.alerts.read import alert_history, list_alerts

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests
from tests.monitoring.test_history import quiet, run, steps, timeouts, write_policies
from userdb.errors import AlertError, NaiveDatetimeError
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
