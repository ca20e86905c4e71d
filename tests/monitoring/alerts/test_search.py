"""Looking for alerts: filters, pages, and what was believed at an earlier time."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from monitoring.alerts.acts import act
from monitoring.alerts.matchers import Matcher
from monitoring.alerts.search import AlertFilter, find_alerts, list_alerts
from monitoring.replay import replay
from monitoring.window import Window

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests
from tests.monitoring.test_history import quiet, run, timeouts, write_policies
from userdb.times import from_minute

POLICIES = """
policies:
  - name: timeouts
    signal: requests.timeouts
    by: [service]
    condition: "> 5"
    window: 1m
    severity: SEVERITY
    labels: {team: core}
    annotations: {summary: "{{ service }}: {{ value }}"}
  - name: errors
    signal: requests.server_errors
    by: [service]
    condition: "> 5"
    window: 1m
    for: 2m
    severity: critical
"""


def policies(path, severity="warning"):
    loaded = write_policies(path / "p", POLICIES.replace("SEVERITY", severity))
    assert not loaded.errors
    return loaded


@pytest.fixture
def known(store, tmp_path):
    """Alerts of two services: two that are over and two that fire; one never fired."""
    put_requests(store, quiet(*range(20)) | timeouts(*range(4, 9), *range(12, 15)), service="a")
    put_requests(store, quiet(*range(20)) | timeouts(18, 19), service="b")
    put_requests(
        store,
        {T0 + m: {"requests": 10, "server_error": 9} for m in (3, 18, 19)},
        service="c",
    )
    cover(store, T0 - 30, T0 + 20)
    run(store, policies(tmp_path), T0, T0 + 20)


def found(store, *, as_of=None, **fields):
    """(minute of its begin, service) of each alert."""
    with store.read() as connection:
        page = find_alerts(connection, AlertFilter(**fields), as_of=as_of)
    assert page.rest is None
    return [
        ((one.active_at - from_minute(T0)) // timedelta(minutes=1), one.labels["service"])
        for one in page.rows
    ]


EVERY = [(19, "c"), (19, "b"), (13, "a"), (5, "a"), (4, "c")]


FILTERS = [
    ({}, [0, 1, 2, 3, 4]),
    ({"state": "firing"}, [1]),
    ({"state": "pending"}, [0]),
    ({"state": "resolved"}, [2, 3, 4]),
    ({"fired": False}, [0, 4]),
    ({"policy": "errors"}, [0, 4]),
    ({"severity": "critical"}, [0, 4]),
    ({"matchers": ('service=~"a|b"',)}, [1, 2, 3]),
    ({"matchers": ("service!=a", "alertname=timeouts", "team=core")}, [1]),
    ({"matchers": ("severity=critical",)}, [0, 4]),
    ({"acknowledged": False}, [0, 1, 2, 3, 4]),
    ({"acknowledged": True}, []),
    ({"since": from_minute(T0 + 10)}, [0, 1, 2]),
    ({"since": from_minute(T0 + 9), "until": from_minute(T0 + 19)}, [2, 3]),
]


def test_alerts_are_found_by_what_they_are_now_and_as_of_a_time(store, known):
    for given, expected in FILTERS:
        fields = dict(given)
        if "matchers" in fields:
            fields["matchers"] = tuple(map(Matcher.parse, fields["matchers"]))
        for then in (None, LONG_AFTER):
            assert found(store, as_of=then, **fields) == [EVERY[at] for at in expected], given


def test_pages_put_together_are_the_whole_and_none_is_empty(store, known):
    with store.read() as connection:
        whole = find_alerts(connection, AlertFilter()).rows
        assert len(whole) == len(EVERY)
        for fields, limit, then in product(
            ({}, {"acknowledged": False}), (1, 2, 5), (None, LONG_AFTER)
        ):
            rows, after = [], None
            while True:
                page = find_alerts(
                    connection, AlertFilter(**fields), as_of=then, after=after, limit=limit
                )
                assert page.rows, (fields, limit, then)
                rows += page.rows
                after = page.rest
                if after is None:
                    break
            assert rows == whole


def test_what_is_looked_at_for_one_page_is_bounded_and_the_rest_is_named(
    sqlite_store, tmp_path, monkeypatch
):
    monkeypatch.setattr("monitoring.pages.BATCH", 1)
    monkeypatch.setattr("monitoring.pages.BATCHES", 2)
    put_requests(sqlite_store, quiet(*range(20)) | timeouts(2, 5, 8, 11, 14))
    cover(sqlite_store, T0 - 30, T0 + 20)
    run(sqlite_store, policies(tmp_path), T0, T0 + 20)
    wanted = AlertFilter(acknowledged=True)
    with sqlite_store.read() as connection:
        (*_, oldest) = list_alerts(connection)
    act(sqlite_store, oldest.id, "acknowledge", at=LONG_AFTER, author="alice")
    pages, after = [], None
    with sqlite_store.read() as connection:
        while True:
            page = find_alerts(connection, wanted, after=after, limit=1)
            pages.append([one.id for one in page.rows])
            after = page.rest
            if after is None:
                break
    assert pages == [[], [oldest.id]]


def test_as_of_a_time_alerts_are_those_that_were_listed_then(store, tmp_path):
    """Late data, an edit, a replay with the edit, and operators, each an hour after the other."""
    hour = timedelta(hours=1)
    listed = {}

    def keep(number):
        """What is listed half an hour later."""
        with store.read() as connection:
            listed[LONG_AFTER + number * hour + hour / 2] = list_alerts(connection)

    loaded = policies(tmp_path)
    put_requests(store, quiet(*range(20)))
    cover(store, T0 - 30, T0 + 20)
    run(store, loaded, T0, T0 + 20, now=LONG_AFTER)
    keep(0)
    put_requests(store, timeouts(*range(4, 9), *range(12, 15)))
    run(store, loaded, T0, T0 + 20, now=LONG_AFTER + hour)
    keep(1)
    with store.read() as connection:
        second, first = list_alerts(connection)
    act(store, first.id, "acknowledge", at=LONG_AFTER + 2 * hour, author="alice")
    act(store, second.id, "false_positive", at=LONG_AFTER + 2 * hour, author="alice")
    keep(2)
    put_requests(store, timeouts(*range(4, 15)))  # one, and not two
    run(store, loaded, T0, T0 + 20, now=LONG_AFTER + 3 * hour)
    keep(3)
    put_requests(store, timeouts(*range(15, 20)))  # and it isn't over
    run(store, loaded, T0, T0 + 20, now=LONG_AFTER + 4 * hour)
    keep(4)
    act(store, first.id, "resolve", at=LONG_AFTER + 5 * hour, author="bob")
    keep(5)
    replay(
        store,
        Window.of_minutes(T0, T0 + 20),
        now=LONG_AFTER + 6 * hour,
        loaded=policies(tmp_path, "critical"),
        todays=True,
    )
    keep(6)
    assert [len(rows) for rows in listed.values()] == [0, 2, 2, 1, 1, 1, 1]
    states = [rows[0].state for rows in listed.values() if rows]
    assert states == ["resolved", "resolved", "resolved", "firing", "resolved", "resolved"]
    assert [rows[0].severity for rows in listed.values() if rows][-2:] == ["warning", "critical"]
    with store.read() as connection:
        for then, rows in listed.items():
            assert find_alerts(connection, AlertFilter(), as_of=then).rows == rows, then
            for state in ("firing", "resolved"):
                wanted = AlertFilter(state=state)
                alerts = find_alerts(connection, wanted, as_of=then).rows
                assert alerts == [one for one in rows if one.state == state]
