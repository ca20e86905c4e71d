"""Whatever happens, and whatever is suppressed meanwhile: in the end everyone knows the truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitoring.alerts.acts import act
from monitoring.alerts.matchers import Matcher
from monitoring.alerts.silences import add_silence, expire_silence, read_silences
from monitoring.notify.reconcile import reconcile
from monitoring.notify.routing.tree import Routing
from sqlalchemy import delete, update

from tests.notify.episodes import add_policy, set_watermark
from tests.notify.routing.routes import RECEIVERS, messages, routing
from tests.notify.test_level_triggered import MINUTE, POLICIES, SERIES, World, empty
from userdb.models import Delivery, OperatorAction, Silence
from userdb.store import Store

#: Every alert is critical (see ``episodes``); its policy is p or q, its service a or b.
ROUTES = routing(
    """
receivers: [{name: ops, rate_limit: {messages: 1, per: 20m}}]
route:
  receiver: ops
  group_by: [alertname]
  group_wait: 2m
  group_interval: 5m
  repeat_interval: 30m
  escalate: [{after: 10m, receiver: boss}]
  routes:
    - {matchers: ['service="a"'], receiver: lead, group_by: ["..."], continue: true}
    - {matchers: ['service=~"a|b"', 'alertname="p"'], mute_times: [noon], group_by: []}
inhibit_rules:
  - {source_matchers: ['alertname="p"'], target_matchers: ['alertname="q"'], equal: [service]}
time_intervals:
  - {name: noon, time_intervals: [{times: [{start_time: "12:10", end_time: "12:40"}]}]}
"""
)


def unsuppressed(routes: Routing) -> Routing:
    """The same routes without what suppresses."""
    root = replace(
        routes.root, routes=tuple(replace(one, mute_times=()) for one in routes.root.routes)
    )
    return replace(routes, root=root, inhibit_rules=())


NAMES = ("boss", "lead", "ops")
numbers = st.integers(0, len(SERIES) - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), numbers),
        st.tuples(st.just("flip"), numbers),
        st.tuples(st.sampled_from(["never was", "split", "move start", "was after all"]), numbers),
        st.tuples(st.just("pass"), st.sampled_from([1, 3, 8, 25])),
        st.tuples(st.just("silence"), st.sampled_from(['service="a"', 'alertname="q"'])),
        st.tuples(st.just("expire"), st.just(0)),
        st.tuples(st.just("acknowledge"), numbers),
        st.tuples(st.just("stall"), st.integers(0, 1)),
        st.tuples(st.just("look"), st.booleans()),
        st.tuples(st.just("look"), st.booleans()),
    ),
    max_size=25,
)


@dataclass
class Play:
    """A world, looked at with ``ROUTES``."""

    store: Store
    world: World = field(init=False)

    def __post_init__(self) -> None:
        empty(self.store)
        self.store.write(lambda connection: connection.execute(delete(Silence)))
        self.store.write(lambda connection: connection.execute(delete(OperatorAction)))
        for policy in POLICIES:
            add_policy(self.store, policy)
        self.world = World(self.store)

    def step(self, op, argument) -> None:
        world = self.world
        if op == "silence":
            add_silence(
                self.store,
                [Matcher.parse(argument)],
                starts_at=world.now,
                ends_at=world.now + 500 * MINUTE,
                author="ann",
                comment="test",
                now=world.now,
            )
        elif op == "expire":
            with self.store.read() as connection:
                silences = read_silences(connection, since=world.now)
            for one in silences:
                expire_silence(self.store, one.id, author="ann", now=world.now)
        elif op == "acknowledge":
            if world.fires(argument):
                episode = world.episodes[argument][-1][0]
                act(self.store, episode, "acknowledge", at=world.now, author="ann")
        elif op == "look":
            self.look(ROUTES, delivered=argument)
        else:
            world.step(op, argument)

    def look(self, routes: Routing, *, delivered: bool) -> None:
        """Reconcile, and again: nothing is news twice."""
        receivers = [RECEIVERS[name] for name in NAMES]
        found = reconcile(self.store, receivers, now=self.world.now, routing=routes)
        assert found.errors == {}
        again = reconcile(self.store, receivers, now=self.world.now, routing=routes)
        assert again.deliveries == ()
        if delivered:
            self.store.write(
                lambda connection: connection.execute(update(Delivery).values(status="sent"))
            )

    def end(self) -> None:
        """All suppressions end, and time passes."""
        self.step("expire", 0)
        for policy in list(self.world.stalled):
            self.world.step("stall", POLICIES.index(policy))
        for minutes in (6, 25, 25):
            self.world.now += minutes * MINUTE
            for policy in POLICIES:
                set_watermark(self.store, self.world.now, policy)
            self.look(unsuppressed(ROUTES), delivered=True)

    def check(self) -> None:
        known = {name: self.last_told(name) for name in NAMES}
        for number, (policy, service) in enumerate(SERIES):
            fires = self.world.fires(number)
            labels = {"alertname": policy, "service": service, "team": "core"}
            routes = ROUTES.root.matching({**labels, "severity": "critical"})
            told = [one.receiver for one in routes]
            assert told, "every alert has a route"
            for name in NAMES:
                state = known[name].get((policy, service), "resolved")
                if not fires:
                    assert state == "resolved", "whoever was told firing is told resolved"
                elif name in told:
                    assert state == "firing", "a receiver of its route knows that it fires"

    def last_told(self, name: str) -> dict[tuple[str, str], str]:
        """By alert what a receiver was told last; each group never tells an end first."""
        states: dict[tuple[str, str], str] = {}
        by_group: dict[str, dict[str, list[str]]] = {}
        for row in messages(self.store, name):
            for alert in row.payload["alerts"]:
                labels = alert["labels"]
                states[labels["alertname"], labels["service"]] = alert["status"]
                group = by_group.setdefault(row.group_key, {})
                group.setdefault(alert["fingerprint"], []).append(alert["status"])
        if name not in ROUTES.limits:
            for told in (one for group in by_group.values() for one in group.values()):
                assert told[0] == "firing"
                assert all(pair != ("resolved", "resolved") for pair in pairwise(told))
        return states


def play(store: Store, steps) -> None:
    game = Play(store)
    for op, argument in steps:
        game.step(op, argument)
    game.end()
    game.check()


FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(suppress_health_check=FIXTURE)
@given(steps=steps)
def test_when_all_suppressions_end_everyone_knows_what_is_true(sqlite_store, steps):
    play(sqlite_store, steps)


@pytest.mark.mariadb
@settings(max_examples=10, deadline=None, suppress_health_check=FIXTURE)
@given(steps=steps)
def test_when_all_suppressions_end_everyone_knows_what_is_true_on_mariadb(mariadb_store, steps):
    play(mariadb_store, steps)
