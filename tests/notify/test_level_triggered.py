"""Whatever happens to alerts, and whenever it is looked at: the last message tells the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitoring.notify.definition import Receiver
from monitoring.notify.reconcile import reconcile
from monitoring.notify.routing.tree import Route, Routing
from sqlalchemy import delete

from tests.notify.episodes import NOW, add_policy, deliveries, put_alert, set_watermark
from userdb.models import Alert, Delivery, NotificationGroup, PolicyState, PolicyVersion
from userdb.store import Store

MINUTE = timedelta(minutes=1)
HOOK = Receiver("ops", "http://127.0.0.1:9/hook")
POLICIES = ("p", "q")
SERIES = tuple((policy, service) for policy in POLICIES for service in ("a", "b"))

series = st.integers(0, len(SERIES) - 1)
ops = st.one_of(
    st.tuples(st.just("flip"), series),
    st.tuples(st.just("flip"), series),
    st.tuples(st.just("move start"), series),
    st.tuples(st.just("never was"), series),
    st.tuples(st.just("was after all"), series),
    st.tuples(st.just("split"), series),
    st.tuples(st.just("pass"), st.sampled_from([1, 7, 45, 90, 2000])),
    st.tuples(st.just("stall"), st.integers(0, 1)),
    st.tuples(st.just("reconcile"), st.just(0)),
)


@dataclass
class World:
    """Alerts in userdb, changed as a fold would change them; the truth is kept beside."""

    store: Store
    now: datetime = NOW
    count: int = 0
    #: series → its episodes: [id, fired_at, resolved_at], the last one perhaps firing
    episodes: dict[int, list[list]] = field(default_factory=lambda: {n: [] for n in range(4)})
    gone: dict[int, list[list]] = field(default_factory=lambda: {n: [] for n in range(4)})
    #: series → how many times an episode of it came to be
    lives: Counter[int] = field(default_factory=Counter)
    stalled: set[str] = field(default_factory=set)

    def put(self, number: int, episode: list, *, superseded: bool = False) -> None:
        policy, service = SERIES[number]
        put_alert(
            self.store,
            episode[0],
            policy=policy,
            service=service,
            series_id=number + 1,
            fired_at=episode[1],
            resolved_at=episode[2],
            superseded_at=self.now if superseded else None,
        )

    def new(self, number: int, fired_at: datetime, resolved_at: datetime | None = None) -> list:
        self.count += 1
        self.lives[number] += 1
        episode = [f"e{self.count}", fired_at, resolved_at]
        self.put(number, episode)
        return episode

    def fires(self, number: int) -> bool:
        return bool(self.episodes[number]) and self.episodes[number][-1][2] is None

    def step(self, op: str, argument: int) -> None:
        if op == "pass":
            self.now += argument * MINUTE
        elif op == "stall":
            policy = POLICIES[argument]
            self.stalled ^= {policy}
        else:
            self.change(op, argument)
        for policy in POLICIES:
            if policy not in self.stalled:
                set_watermark(self.store, self.now, policy)

    def change(self, op: str, number: int) -> None:
        if SERIES[number][0] in self.stalled:
            return  # nothing is evaluated
        episodes = self.episodes[number]
        if op == "flip":
            self.now += MINUTE
            if self.fires(number):
                episodes[-1][2] = self.now
                self.put(number, episodes[-1])
            else:
                episodes.append(self.new(number, self.now))
        elif op == "was after all":
            if self.gone[number] and not episodes:
                episodes.append(self.gone[number].pop())
                self.lives[number] += 1
                self.put(number, episodes[-1])
        elif episodes:
            last = episodes.pop()
            self.put(number, last, superseded=True)
            if op == "never was":
                self.gone[number].append(last)
            elif op == "move start":
                after = episodes[-1][2] if episodes else last[1] - 10 * MINUTE
                start = max(after, last[1] - MINUTE) if self.count % 2 else last[1] + MINUTE / 2
                episodes.append(self.new(number, start, last[2]))
            else:  # late data shows a gap in the middle of it
                self.now += MINUTE  # an episode that was split has lasted
                end = last[2] or self.now
                third = (end - last[1]) / 3
                last[2], resolved_at = last[1] + third, last[2]
                self.put(number, last)
                episodes += [last, self.new(number, end - third, resolved_at)]


def last_told(rows: list) -> Iterator[tuple[str, tuple[str, str], str, str]]:
    for row in rows:
        for alert in row.payload["alerts"]:
            labels = alert["labels"]
            yield row.id, (labels["alertname"], labels["service"]), alert["status"], alert


def check(world: World) -> None:
    reconcile(world.store, [HOOK], now=world.now)
    rows = deliveries(world.store)
    again = reconcile(world.store, [HOOK], now=world.now)
    assert again.deliveries == (), "nothing is news twice"
    told = {key: status for _, key, status, _ in last_told(rows)}
    for number, key in enumerate(SERIES):
        if key[0] in again.stale:
            continue
        state = "firing" if world.fires(number) else "resolved"
        assert told.get(key, "resolved") == state, key
    for group in {row.group_key for row in rows}:
        views = [
            frozenset((one["fingerprint"], one["status"]) for one in row.payload["alerts"])
            for row in rows
            if row.group_key == group
        ]
        assert all(one != other for one, other in pairwise(views))
        firing: set[str] = set()
        for view in views:
            for mark, status in view:
                # the end of what was not told is never told
                assert status == "firing" or mark in firing
            now_firing = {mark for mark, status in view if status == "firing"}
            # and none is left out of a message silently
            assert firing - now_firing == {mark for mark, status in view if status == "resolved"}
            firing = now_firing
    for number, key in enumerate(SERIES):
        begun = "resolved"
        beginnings = 0
        for _, other, status, _ in last_told(rows):
            if other == key:
                beginnings += (begun, status) == ("resolved", "firing")
                begun = status
        assert beginnings <= world.lives[number], "an episode is told once"


def empty(store: Store) -> None:
    def work(connection):
        for table in (Alert, Delivery, NotificationGroup, PolicyState, PolicyVersion):
            connection.execute(delete(table))

    store.write(work)


def play(store: Store, steps: list) -> None:
    empty(store)
    for policy in POLICIES:
        add_policy(store, policy)
    world = World(store)
    for op, argument in steps:
        if op == "reconcile":
            check(world)
        else:
            world.step(op, argument)
    check(world)


FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=2 * settings().max_examples, suppress_health_check=FIXTURE)
@given(steps=st.lists(ops, max_size=25))
def test_the_last_message_is_the_state(sqlite_store, steps):
    play(sqlite_store, steps)


@pytest.mark.mariadb
@settings(max_examples=15, deadline=None, suppress_health_check=FIXTURE)
@given(steps=st.lists(ops, max_size=25))
def test_the_last_message_is_the_state_on_mariadb(mariadb_store, steps):
    play(mariadb_store, steps)


def test_groups_across_policies_tell_the_same(sqlite_store):
    empty(sqlite_store)
    for policy in POLICIES:
        add_policy(sqlite_store, policy)
    world = World(sqlite_store)
    by_service = Routing(Route(group_by=("service",)))
    for number in range(4):
        world.step("flip", number)
    reconcile(sqlite_store, [HOOK], now=world.now, routing=by_service)
    world.step("flip", 0)
    reconcile(sqlite_store, [HOOK], now=world.now, routing=by_service)
    assert reconcile(sqlite_store, [HOOK], now=world.now, routing=by_service).deliveries == ()
    told = {key: status for _, key, status, _ in last_told(deliveries(sqlite_store))}
    assert told[("p", "a")] == "resolved"
    assert told[("q", "a")] == "firing"
