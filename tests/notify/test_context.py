"""What a message says besides its payload, as it was when the message was decided."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from monitoring.notify import Receiver, notify
from monitoring.notify.context import AlertContext, condition_text, contexts_of, read_context
from monitoring.notify.evidence import (
    ContainerFound,
    EventsFound,
    EvidenceReader,
    RequestFound,
    RouteFound,
)
from monitoring.notify.reconcile import reconcile
from monitoring.notify.request_evidence import read_exemplars, summed_routes
from monitoring.policy.kinds import parse_policy
from sqlalchemy import event, insert, text

from tests.monitoring.facts import put_raw, put_requests, put_sample
from tests.notify.episodes import NOW, POLICY, add_policy, deliveries, minutes, put_alert
from tests.notify.hooks import listening
from userdb.models import MonitorEvent
from userdb.times import to_minute

MINUTE = to_minute(NOW)
OPS = Receiver("ops", "http://127.0.0.1:9")


def contexts(store, receiver=OPS, now=NOW):
    """The contexts of the deliveries that reconciling inserts, in order."""
    before = {row.id for row in deliveries(store)}
    reconcile(store, [receiver], now=now)
    new = [row for row in deliveries(store) if row.id not in before]
    return [list(contexts_of(row.context).values()) for row in new]


def put_events(store, *rows):
    base = {
        "event_type": "container",
        "source": "gateway",
        "level": "error",
        "detail": None,
        "created_at": NOW,
        "service": "sim",
        "instance": None,
        "container": None,
        "exception_type": "ValueError",
        "fingerprint": None,
        "rolled_up": True,
    }
    values = [
        {**base, "event_id": f"e{number}", "occurred_at": NOW - minutes(1), **row}
        for number, row in enumerate(rows)
    ]
    store.write(lambda connection: connection.execute(insert(MonitorEvent), values))


def test_it_says_what_since_when_and_the_value_against_the_condition(store):
    add_policy(store, recover="< 0.02", window="10m")
    put_alert(store, "sim", value=0.25)
    ((found,),) = contexts(store)
    assert found == AlertContext(
        episode="sim",
        since=NOW - minutes(2),
        value=0.25,
        unit="share",
        condition="requests.timeout_ratio > 0.05, window 10m, recover < 0.02",
    )


def test_the_definition_is_the_one_in_force_when_the_alert_began(store):
    add_policy(store)
    put_alert(store, "sim", policy_version=1)

    def edit(connection):
        connection.execute(
            text(
                "INSERT INTO policy_version "
                "(policy, version, definition, effective_minute, registered_at) "
                "SELECT policy, 2, replace(definition, '> 0.05', '> 0.5'), 9, registered_at "
                "FROM policy_version"
            )
        )

    store.write(edit)
    ((found,),) = contexts(store)
    assert found.condition.startswith("requests.timeout_ratio > 0.05")


def test_top_messages_of_exceptions_are_evidence_for_events(store):
    add_policy(store, signal="events.count", where={"level": ["error", "critical"]})
    put_alert(store, "sim", labels={"service": "sim", "team": "core"})
    put_events(
        store,
        *({"message": "mesh is empty\n  File x"} for _ in range(3)),
        *({"message": "no disk", "exception_type": "OSError", "level": "critical"},) * 2,
        *({"message": "only a warning", "level": "warning"},) * 5,
        *({"message": "of another service", "service": "other"},) * 5,
        *({"message": "long ago", "occurred_at": NOW - minutes(6)},) * 5,
        *({"message": "after the evaluation", "occurred_at": NOW},) * 5,
        {"message": "one", "exception_type": None},
        {"message": "one too many", "exception_type": "AType"},
    )
    ((found,),) = contexts(store)
    assert found.evidence[:2] == (
        EventsFound(count=3, level="error", exception_type="ValueError", message="mesh is empty"),
        EventsFound(count=2, level="critical", exception_type="OSError", message="no disk"),
    )
    assert [one.message for one in found.evidence[2:]] in (["one"], ["one too many"])


def test_the_worst_routes_are_evidence_for_requests(store):
    add_policy(store)
    put_alert(store, "sim")
    for number in range(5):
        put_requests(
            store,
            {
                MINUTE - 1: {
                    "requests": 100,
                    "timeout": 10 * number,
                    "server_error": 1,
                    "latency_count": 100,
                    "latency_sum_ms": 100 * number,
                },
                MINUTE - 2: {"requests": 20},
                MINUTE - 6: {"requests": 999, "timeout": 999},
            },
            route=f"/{number}",
        )
    put_requests(store, {MINUTE - 1: {"requests": 900, "timeout": 900}}, service="other")
    ((found,),) = contexts(store)
    assert [one.route for one in found.evidence] == ["/4", "/3", "/2"]
    assert found.evidence[0] == RouteFound(
        service="sim",
        route="/4",
        instance=None,
        requests=120,
        failed={"timeout": 40, "server_error": 1},
        mean_ms=4.0,
        max_ms=None,
    )


def test_the_slowest_routes_are_evidence_for_latency(store):
    add_policy(store, signal="requests.latency_avg", condition="> 500")
    put_alert(store, "sim")
    for number in range(5):
        counts = {"requests": 10, "timeout": 9, "latency_count": 10, "latency_sum_ms": number * 10}
        put_requests(store, {MINUTE - 1: counts}, route=f"/{number}")
    ((found,),) = contexts(store)
    assert [one.mean_ms for one in found.evidence] == [4.0, 3.0, 2.0]


def timed_out(seconds_ago, path, **columns):
    """A raw request that timed out."""
    return {
        "occurred_at": NOW - timedelta(seconds=seconds_ago),
        "path": path,
        "status": 504,
        "outcome": "timeout",
        "outcome_reason": "status=504",
        **columns,
    }


def requests_found(store):
    ((found,),) = contexts(store)
    return [one for one in found.evidence if isinstance(one, RequestFound)]


def test_requests_that_failed_are_evidence_of_each_of_the_worst_routes(store):
    add_policy(store)
    put_alert(store, "sim")
    for route, number in (("/a", 9), ("/b", 5), ("/c", 0)):
        counted = {MINUTE - 1: {"requests": 10, "timeout": number}}
        put_requests(store, counted, route=route, source="gateway")
    put_requests(store, {MINUTE - 1: {"requests": 10, "timeout": 10}}, service="other")
    details = {"duration_ms": 30000.5, "request_id": "c0ffee", "instance": None}
    put_raw(
        store,
        timed_out(50, "/a/1", route="/a"),
        timed_out(40, "/a/2", route="/a"),
        timed_out(5, "/a/3", route="/a", status=200, outcome="ok"),
        timed_out(30, "/a/4", route="/a"),
        timed_out(45, "/b/1", route="/b", **details),
        timed_out(1, "/c/1", route="/c"),
        timed_out(1, "/other", route="/a", service="other"),
        timed_out(1, "/other", route="/a", source="another"),
        timed_out(1, "/other", route="/a", instance="i"),
        timed_out(-1, "/after", route="/a"),
        timed_out(301, "/long/ago", route="/b"),
    )
    found = requests_found(store)
    # of each route the newest, before any has its second
    assert [one.path for one in found] == ["/a/4", "/b/1", "/a/2"]
    assert found[1] == RequestFound(
        at=NOW - timedelta(seconds=45),
        method="GET",
        path="/b/1",
        status=504,
        outcome="timeout",
        reason="status=504",
        **details,
    )


@pytest.mark.parametrize(
    ("signal", "paths"),
    [
        ("requests.latency_max", ["/slowest", "/slow", "/fast"]),
        ("requests.latency_avg", ["/slowest", "/slow", "/fast"]),
        ("requests.ok_ratio", ["/failed"]),
        ("requests.count", ["/newest", "/fast", "/slow"]),
    ],
)
def test_requests_are_chosen_by_what_the_policy_looks_at(store, signal, paths):
    add_policy(store, signal=signal, condition="> 0")
    put_alert(store, "sim")
    counts = {"requests": 9, "ok": 8, "latency_count": 9, "latency_sum_ms": 9}
    put_requests(store, {MINUTE - 1: counts}, source="gateway")
    at = [{"occurred_at": NOW - timedelta(seconds=ago)} for ago in range(50)]
    put_raw(
        store,
        {**at[2], "path": "/fast", "duration_ms": 1.0},
        {**at[3], "path": "/slow", "duration_ms": 700.0},
        {**at[4], "path": "/slowest", "duration_ms": 900.0},
        {**at[1], "path": "/newest"},
        timed_out(9, "/failed"),
    )
    assert [one.path for one in requests_found(store)] == paths


def test_requests_of_routes_that_are_counted_as_one_keep_their_own(store):
    add_policy(store)
    put_alert(store, "sim", labels={"service": "sim", "route": "{other}"})
    for route in ("{other}", "/named"):
        counts = {MINUTE - 1: {"requests": 9, "timeout": 9}}
        put_requests(store, counts, route=route, source="gateway")
    put_raw(store, timed_out(3, "/named", route="/named"), timed_out(2, "/x.php", route="/x.php"))
    assert [one.path for one in requests_found(store)] == ["/x.php"]


def test_so_many_requests_are_looked_through_and_no_more(store, monkeypatch):
    add_policy(store)
    put_alert(store, "sim")
    put_requests(store, {MINUTE - 1: {"requests": 9, "timeout": 9}}, source="gateway")
    monkeypatch.setattr("monitoring.notify.request_evidence._NEWEST", 2)
    ok = {"status": 200, "outcome": "ok"}
    put_raw(store, timed_out(4, "/1"), *(timed_out(ago, "/2", **ok) for ago in (3, 2, 1)))
    assert requests_found(store) == []


def test_a_containers_last_exit_is_evidence_wherever_a_container_is_named(store):
    add_policy(store, signal="containers.running", condition="< 1")
    put_alert(store, "sim", labels={"container": "sim-1"})
    ended = {"state": "exited", "exit_code": 137, "oom_killed": True, "finished_at": NOW}
    put_sample(store, MINUTE - 70, "sim-1", restarts=0, exits=8, oom_kills=8)
    put_sample(store, MINUTE - 10, "sim-1", restarts=1, exits=2, oom_kills=1)
    put_sample(store, MINUTE - 5, "sim-1", restarts=2, exits=1, reason="OOMKilled", **ended)
    put_sample(store, MINUTE - 1, "sim-2", restarts=7)
    ((found,),) = contexts(store)
    assert found.evidence == (
        ContainerFound(
            container="sim-1",
            state="exited",
            health=None,
            exit_code=137,
            oom_killed=True,
            restarts=2,
            finished_at=NOW,
            reason="OOMKilled",
            exits=3,
            oom_kills=1,
        ),
    )
    assert (found.unit, found.condition) == ("0 or 1", "containers.running < 1, window 5m")


def test_an_ended_alert_has_a_context_without_evidence(store):
    add_policy(store)
    put_alert(store, "sim")
    put_requests(store, {MINUTE - 1: {"requests": 10, "timeout": 9}})
    contexts(store)
    put_alert(store, "sim", resolved_at=NOW)
    ((found,),) = contexts(store)
    assert (found.episode, found.evidence) == ("sim", ())


def test_evidence_that_can_not_be_read_stops_no_message(store, monkeypatch, caplog):
    add_policy(store)
    put_alert(store, "sim")
    put_requests(store, {MINUTE - 1: {"requests": 10, "timeout": 9}})

    def broken(connection, *_times):
        return list(connection.execute(text("SELECT nothing FROM nowhere")))

    monkeypatch.setattr("monitoring.notify.evidence.summed_routes", broken)
    with listening() as hook:
        report = notify(store, now=NOW, receivers=[Receiver("ops", hook.url)])
    assert (report.sent, report.errors) == (1, {})
    (row,) = deliveries(store)
    (found,) = contexts_of(row.context).values()
    assert (found.condition, found.evidence) == (
        "requests.timeout_ratio > 0.05, window 5m",
        (),
    )
    assert "evidence can't be read" in caplog.text


def test_a_definition_that_can_not_be_read_any_more_stops_no_message(store):
    add_policy(store)
    put_alert(store, "sim")
    put_alert(store, "two", service="two", policy_version=2)

    def spoil(connection):
        connection.execute(
            text(
                "INSERT INTO policy_version "
                "(policy, version, definition, effective_minute, registered_at) "
                'SELECT policy, 2, \'{"kind": "of the future"}\', -1, registered_at '
                "FROM policy_version"
            )
        )

    with store.read() as connection:
        version_one = connection.execute(text("SELECT definition FROM policy_version")).scalar()
    assert version_one
    store.write(spoil)
    with store.read() as connection:
        alerts = [
            {"fingerprint": mark, "status": "firing"} for mark in ("mark-of-sim", "mark-of-two")
        ]
        found = read_context(
            connection, [alerts], {"mark-of-sim": "sim", "mark-of-two": "two", "x": "y"}
        )
    assert contexts_of(found)["mark-of-sim"].condition
    assert contexts_of(found)["mark-of-two"].condition == ""
    assert contexts_of(found)["mark-of-two"].value == 0.5


def test_evidence_costs_the_same_few_queries_for_many_alerts(sqlite_store):
    add_policy(sqlite_store)
    for number in range(40):
        put_alert(sqlite_store, f"a{number}", service=f"s{number}")
        put_requests(
            sqlite_store, {MINUTE - 1: {"requests": 9, "timeout": 9}}, service=f"s{number}"
        )
    asked = []

    def count(_connection, _cursor, statement, *_rest):
        if statement.startswith("SELECT") and "request_minute" in statement:
            asked.append(statement)

    event.listen(sqlite_store.engine, "before_cursor_execute", count)
    ((*found,),) = contexts(sqlite_store)
    assert len(found) == 40
    assert sum(bool(one.evidence) for one in found) == 5
    assert len(asked) == 1


@pytest.mark.parametrize("query", ["events", "routes", "requests", "containers"])
def test_evidence_is_read_by_an_index_over_time(sqlite_store, query):
    plans = []

    def explain(connection, cursor, statement, parameters, *_rest):
        if statement.startswith("SELECT"):
            rows = connection.connection.cursor().execute(
                f"EXPLAIN QUERY PLAN {statement}", parameters
            )
            plans.append(" | ".join(row[-1] for row in rows))

    event.listen(sqlite_store.engine, "before_cursor_execute", explain)
    with sqlite_store.read() as connection:
        reader = EvidenceReader(connection)
        if query == "events":
            reader._newest_events(NOW - minutes(5), NOW)
            wanted = "SEARCH monitor_event USING INDEX ix_monitor_event_occurred_at"
        elif query == "routes":
            summed_routes(connection, NOW - minutes(5), NOW)
            wanted = "SEARCH request_minute USING PRIMARY KEY (minute>"
        elif query == "requests":
            routes = [SimpleNamespace(labels={"service": "sim"}, timeout=1)]
            span = (NOW - minutes(5), NOW)
            list(read_exemplars(connection, routes, "timeout", *span, named=[], limit=3))
            wanted = "SEARCH request_log USING PRIMARY KEY (occurred_at>"
            assert len(plans) == 2
            assert all(plan.startswith(wanted) for plan in plans), plans
        else:
            reader._samples(NOW)
            wanted = "SEARCH container_sample USING PRIMARY KEY (minute>"
    assert any(wanted in plan for plan in plans), plans


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        (
            {"kind": "cardinality", "signal": "events.count", "label": "instance",
             "by": ["service"], "condition": "> 3"},
            "events.count > 3, label instance, window 5m",
        ),
        (
            {"kind": "change", "signal": "requests.count", "threshold": 2, "direction": "up"},
            "change requests.count, direction up, threshold 2, window 5m",
        ),
        (
            {"kind": "composite", "all": ["a", "b"], "unless": ["c"], "for": "10m"},
            "composite, for 10m, all a; b, unless c",
        ),
        (
            {"signal": "requests.latency", "quantile": 0.95, "condition": "> 800", "by": []},
            "requests.latency > 800, window 5m, quantile 0.95",
        ),
    ],
)  # fmt: skip
def test_each_kind_says_its_condition_in_its_own_words(definition, said):
    written = condition_text(parse_policy({"name": POLICY, **definition}))
    assert sorted(written.split(", ")) == sorted(said.split(", "))
    assert written.split(", ")[0] == said.split(", ")[0]
