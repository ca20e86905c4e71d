"""The limit of messages to a receiver: what exceeds it comes in one digest, and nothing is lost."""

from __future__ import annotations

import threading
from dataclasses import replace

from monitoring.notify.reconcile import reconcile
from sqlalchemy import update

from tests.notify.episodes import NOW, add_policy, minutes, put_alert, set_watermark
from tests.notify.routing.routes import RECEIVERS, heard, messages, routing, run
from userdb.models import Delivery
from userdb.store import open_store

LIMITED = routing(
    """
receivers: [{name: ops, rate_limit: {messages: 2, per: 10m}}]
route: {receiver: ops, group_by: [service], group_interval: 0s}
"""
)


def deliver(store, status="sent"):
    store.write(lambda connection: connection.execute(update(Delivery).values(status=status)))


def go(store, at, routes=LIMITED, names=("ops",), delivered=True):
    found = run(store, routes, now=NOW + minutes(at), names=names)
    if delivered:
        deliver(store)
    return found


def fire(store, name, at=0, **fields):
    put_alert(store, name, service=name, fired_at=NOW + minutes(at), **fields)


def kinds(store):
    return [row.kind for row in messages(store)]


def test_what_exceeds_the_limit_is_told_later_in_one_message(store):
    add_policy(store)
    for name in "abcd":
        fire(store, name)
    found = go(store, 0)
    assert (len(found.deliveries), found.held) == (2, 2)
    go(store, 9)
    assert kinds(store) == ["alerts", "alerts"]
    # ten minutes after the first two messages the limit allows others
    assert go(store, 10).held == 0
    digest = messages(store)[2]
    assert digest.kind == "digest"
    assert sorted(heard(store)[2]) == [("c", "firing"), ("d", "firing")]
    assert digest.payload["version"] == "4"
    assert digest.payload["groupKey"] == '{}:{digest="true"}'
    assert digest.payload["status"] == "firing"


def test_a_digest_tells_the_newest_states(store):
    add_policy(store)
    for name in "abcd":
        fire(store, name)
    go(store, 0)
    fire(store, "c", resolved_at=NOW + minutes(3))
    go(store, 3)
    fire(store, "a", resolved_at=NOW + minutes(4))
    go(store, 4)
    assert len(messages(store)) == 2
    go(store, 10)
    assert sorted(heard(store)[2]) == [("a", "resolved"), ("c", "resolved"), ("d", "firing")]
    fire(store, "d", resolved_at=NOW + minutes(11))
    go(store, 11)
    assert heard(store)[3] == [("d", "resolved")]


def test_nothing_goes_past_a_digest_and_a_digest_past_nothing(store):
    add_policy(store)
    for name in "abc":
        fire(store, name)
    go(store, 0, delivered=False)
    # those before it were not delivered yet: a digest could tell something newer
    go(store, 10, delivered=False)
    assert kinds(store) == ["alerts", "alerts"]
    deliver(store)
    go(store, 11, delivered=False)
    assert kinds(store) == ["alerts", "alerts", "digest"]
    # it is on its way: news waits behind it
    fire(store, "c", resolved_at=NOW + minutes(12))
    assert go(store, 12, delivered=False).held == 1
    deliver(store)
    go(store, 13)
    assert heard(store)[3] == [("c", "resolved")]
    assert kinds(store)[3] == "digest"


def test_the_limit_of_one_receiver_is_not_anothers(store):
    add_policy(store)
    both = routing(
        """
receivers: [{name: ops, rate_limit: {messages: 1, per: 10m}}]
route: {group_by: [service]}
"""
    )
    for name in "abc":
        fire(store, name)
    go(store, 0, routes=both, names=("lead", "ops"))
    assert [len(heard(store, name)) for name in ("lead", "ops")] == [3, 1]


def test_an_end_that_a_receiver_does_not_want_is_told_of_what_was_held_back(store):
    add_policy(store)
    no_ends = routing(
        """
receivers: [{name: ops, send_resolved: false, rate_limit: {messages: 1, per: 10m}}]
route: {group_by: [service], group_interval: 0s}
"""
    )
    receiver = replace(RECEIVERS["ops"], send_resolved=False)
    fire(store, "a")
    fire(store, "b")
    reconcile(store, [receiver], now=NOW, routing=no_ends)
    deliver(store)
    fire(store, "b", resolved_at=NOW + minutes(2))
    for at in (2, 10):
        set_watermark(store, NOW + minutes(at))
        reconcile(store, [receiver], now=NOW + minutes(at), routing=no_ends)
    assert heard(store) == [[("a", "firing")], [("b", "resolved")]]


def test_an_episode_that_ended_long_ago_while_it_was_held_back_is_not_lost(store):
    add_policy(store)
    slow = routing(
        """
receivers: [{name: ops, rate_limit: {messages: 1, per: 3h}}]
route: {group_by: [service], group_interval: 0s}
"""
    )
    fire(store, "a")
    fire(store, "b")
    go(store, 0, routes=slow)
    fire(store, "b", resolved_at=NOW + minutes(2))
    for at in (2, 100, 179, 180):
        go(store, at, routes=slow)
    assert heard(store)[1] == [("b", "resolved")]


def test_reconciles_at_the_same_time_keep_to_the_limit_together(store):
    add_policy(store)
    for name in "abcdefgh":
        fire(store, name)
    url = store.url.url.render_as_string(hide_password=False)
    others = [open_store(url) for _ in range(4)]
    start = threading.Barrier(len(others))
    errors = []

    def race(one):
        start.wait()
        errors.append(reconcile(one, [RECEIVERS["ops"]], now=NOW, routing=LIMITED).errors)

    threads = [threading.Thread(target=race, args=[one]) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in others:
        one.close()
    assert errors == [{}] * 4
    assert kinds(store) == ["alerts", "alerts"]
    deliver(store)
    go(store, 10)
    told = [one for some in heard(store) for one in some]
    assert sorted(told) == [(name, "firing") for name in "abcdefgh"]


def test_what_was_held_back_is_told_at_once_when_the_limit_is_taken_away(store):
    add_policy(store)
    for name in "abc":
        fire(store, name)
    go(store, 0)
    free = routing("route: {receiver: ops, group_by: [service], group_interval: 0s}")
    fire(store, "c", resolved_at=NOW + minutes(1))
    fire(store, "d", 1)
    go(store, 1, routes=free, delivered=False)
    assert kinds(store)[2:] == ["digest"]
    assert sorted(heard(store)[2]) == [("c", "resolved"), ("d", "firing")]
    # nothing goes past it either
    fire(store, "e", 2)
    assert go(store, 2, routes=free).held == 1
    go(store, 3, routes=free)
    assert heard(store)[3:] == [[("e", "firing")]]
