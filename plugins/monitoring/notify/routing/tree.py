"""The tree of routes, with what children inherit filled in: who is told of an alert. Pure.

An alert goes down the tree from the root. The first child that matches takes it, and those after
it only while ``continue`` is set; where no child matches, the node itself keeps it. So every alert
has a route.

Children inherit the receiver, group_by, the three times and the steps of escalation; mute and
active times are each node's own, as Alertmanager has it. A root without a receiver tells everyone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitoring.alerts.matchers import Matcher, match_all, matchers_text
from monitoring.alerts.time_intervals import TimeInterval, holds_any
from monitoring.notify.payload import Group
from monitoring.notify.receiver_spec import RateLimit, ReceiverSpec
from monitoring.notify.routing.definition import (
    ALL_LABELS,
    EVERYONE,
    InhibitRule,
    RouteSpec,
    RoutingSpec,
    Step,
)

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Audience:
    """One whom a route tells; ``after`` how long without an acknowledgement: None: at once."""

    receiver: str
    after: timedelta | None = None


@dataclass(frozen=True)
class Route:
    """A node; the defaults are those without a routing file: everyone is told all, once.

    Attributes:
        key: its place in the tree, from the matchers on the way: ``{}/{severity="critical"}``.
        receiver: a name, or ``*`` for everyone that no step of escalation names.
        group_by: labels whose values make a group; None for all.
        wait: how long the oldest alert of a new group must have fired, in event time.
        interval: between two messages of a group, in event time.
        repeat: after which what still fires is told again; None for never.
    """

    key: str = "{}"
    matchers: tuple[Matcher, ...] = ()
    receiver: str = EVERYONE
    group_by: tuple[str, ...] | None = ("alertname",)
    wait: timedelta = timedelta(0)
    interval: timedelta = timedelta(0)
    repeat: timedelta | None = None
    mute_times: tuple[TimeInterval, ...] = ()
    active_times: tuple[TimeInterval, ...] | None = None
    escalate: tuple[Step, ...] = ()
    go_on: bool = False
    routes: tuple[Route, ...] = ()

    def matching(self, labels: Labels) -> list[Route]:
        """The routes of an alert that this one matches, at least one, in order."""
        found: list[Route] = []
        for child in self.routes:
            if match_all(child.matchers, labels):
                found += child.matching(labels)
                if not child.go_on:
                    break
        return found or [self]

    def walk(self) -> Iterator[Route]:
        """This route and all below it."""
        yield self
        for child in self.routes:
            yield from child.walk()

    def group(self, labels: Labels) -> Group:
        names = labels if self.group_by is None else self.group_by
        return Group({name: labels[name] for name in names if name in labels}, self.key)

    def is_muted(self, at: datetime) -> bool:
        if self.active_times is not None and not holds_any(self.active_times, at):
            return True
        return holds_any(self.mute_times, at)

    def audience(self, names: Iterable[str]) -> list[Audience]:
        """Whom it tells, of the receivers with these names: at once, and by escalation."""
        there = list(names)
        later = {step.receiver for step in self.escalate}
        at_once = (
            [name for name in there if name not in later]
            if self.receiver == EVERYONE
            else [self.receiver] * (self.receiver in there)
        )
        steps = [Audience(one.receiver, one.after) for one in self.escalate]
        return [
            *map(Audience, at_once),
            *(one for one in steps if one.receiver in there and one.receiver not in at_once),
        ]

    @property
    def named(self) -> list[str]:
        """The receivers that it names."""
        own = [] if self.receiver == EVERYONE else [self.receiver]
        return [*own, *(step.receiver for step in self.escalate)]


@dataclass(frozen=True)
class Routing:
    """All that routing.yaml says. Without arguments: as if there were none."""

    root: Route = Route()
    receivers: tuple[ReceiverSpec, ...] = ()
    inhibit_rules: tuple[InhibitRule, ...] = ()

    @property
    def limits(self) -> dict[str, RateLimit]:
        """By receiver, where it has one."""
        return {one.name: one.rate_limit for one in self.receivers if one.rate_limit is not None}

    def missing(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Receivers that routes name and that are not among ``names``; by name, those routes."""
        there = set(names)
        found: dict[str, list[str]] = {}
        for route in self.root.walk():
            for name in route.named:
                if name not in there:
                    found.setdefault(name, []).append(route.key)
        return found


@dataclass(frozen=True)
class _Inherited:
    """What a node hands down."""

    receiver: str = EVERYONE
    group_by: tuple[str, ...] = ("alertname",)
    wait: timedelta = timedelta(0)
    interval: timedelta = timedelta(minutes=5)
    repeat: timedelta = timedelta(hours=4)
    escalate: tuple[Step, ...] = field(default=())

    def given(self, spec: RouteSpec) -> _Inherited:
        own = {
            "receiver": spec.receiver,
            "group_by": spec.group_by,
            "wait": spec.group_wait,
            "interval": spec.group_interval,
            "repeat": spec.repeat_interval,
            "escalate": spec.escalate,
        }
        return replace(self, **{name: value for name, value in own.items() if value is not None})  # type: ignore[arg-type]


def build(spec: RoutingSpec) -> Routing:
    """The routing that a file describes. Names of time intervals that it doesn't have are skipped;
    a node whose active times are all unknown is active."""
    intervals = {one.name: one.time_intervals for one in spec.time_intervals}
    root = _route(spec.route, "", "{}", _Inherited(), intervals)
    return Routing(root, inhibit_rules=spec.inhibit_rules)


def _route(
    spec: RouteSpec,
    above: str,
    own_key: str,
    inherited: _Inherited,
    intervals: Mapping[str, tuple[TimeInterval, ...]],
) -> Route:
    key = f"{above}{own_key}"
    has = inherited.given(spec)
    seen: Counter[str] = Counter()
    children = []
    for child in spec.routes:
        text = f"/{matchers_text(child.matchers)}"
        # siblings with the same matchers are told apart by their number
        number = seen[text]
        seen[text] += 1
        child_key = f"{text}/{number}" if number else text
        children.append(_route(child, key, child_key, has, intervals))
    active = [name for name in spec.active_times if name in intervals]
    return Route(
        key=key,
        matchers=spec.matchers,
        receiver=has.receiver,
        group_by=None if has.group_by == (ALL_LABELS,) else has.group_by,
        wait=has.wait,
        interval=has.interval,
        repeat=has.repeat,
        mute_times=tuple(one for name in spec.mute_times for one in intervals.get(name, ())),
        active_times=tuple(one for name in active for one in intervals[name]) if active else None,
        escalate=tuple(step for step in has.escalate if step.receiver != has.receiver),
        go_on=spec.go_on,
        routes=tuple(children),
    )
