"""The plan: every receiver's groups, and what each is to hear. Pure.

The chain and the unit tests of routing decide with this same code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitoring.notify.difference import Hearing
from monitoring.notify.episode import Episode, Present
from monitoring.notify.payload import AlertPayload, Group
from monitoring.notify.routing.decision import Decision, GroupState, decide
from monitoring.notify.routing.suppression import Suppression
from monitoring.notify.routing.tree import Audience, Route, Routing
from monitoring.notify.told import Told

#: A receiver, and its group's stored key.
Key = tuple[str, str]
Labels = Mapping[str, str]


@dataclass(frozen=True)
class StoredGroup:
    """A receiver's group that was told something, with what is remembered of it."""

    group: Group
    state: GroupState


@dataclass(frozen=True)
class Target:
    """A receiver's group, and how it is told.

    Attributes:
        route: None for a group that the routing doesn't have any more: it is told ends alone.
        marks: fingerprints of the alerts that it is about.
        escalated: by escalation alone: the episodes that have come so far; None: told at once.
    """

    receiver: str
    group: Group
    route: Route | None
    marks: frozenset[str]
    escalated: frozenset[str] | None = None

    @property
    def key(self) -> Key:
        return self.receiver, self.group.stored_key

    def with_marks(self, marks: frozenset[str]) -> Target:
        """The same, about these alerts."""
        return replace(self, marks=marks)

    def decide(
        self,
        state: GroupState,
        present: Present,
        suppression: Suppression,
        *,
        now: datetime,
        send_resolved: bool = True,
        repeat_acknowledged: bool = False,
        external_url: str = "",
    ) -> Decision:
        """What the receiver is told of the group now.

        Args:
            present: what is true, at least of the group's alerts.
            send_resolved, repeat_acknowledged: see ``Hearing``.
        """
        route = self.route
        hearing = replace(
            self._hearing(suppression),
            send_resolved=send_resolved,
            repeat_acknowledged=repeat_acknowledged,
        )
        return decide(
            state,
            present.only(self.marks | state.told.keys()),
            hearing,
            interval=timedelta(0) if route is None else route.interval,
            repeat=None if route is None else route.repeat,
            now=now,
            external_url=external_url,
        )

    def _hearing(self, suppression: Suppression) -> Hearing:
        route, escalated = self.route, self.escalated
        if route is None:
            return Hearing(may_begin=lambda _: False, is_quiet=lambda _: True)

        def may_begin(episode: Episode) -> bool:
            reached = escalated is None or episode.id in escalated
            # what was told here may go another way now, by an edit
            is_ours = episode.fingerprint in self.marks
            return is_ours and reached and suppression.may_begin(route, episode)

        def is_quiet(alert: AlertPayload) -> bool:
            is_ours = alert["fingerprint"] in self.marks
            return not is_ours or suppression.is_quiet(route, alert["labels"])

        return Hearing(
            # what is escalated has waited long enough
            wait=route.wait if escalated is None else timedelta(0),
            may_begin=may_begin,
            is_quiet=is_quiet,
        )


@dataclass
class _RouteGroup:
    """A group of a route, before it is known whom it is told to."""

    route: Route
    group: Group
    marks: set[str] = field(default_factory=set)


def members(
    route: Route, group: Group, routing: Routing, present: Present, told: Mapping[str, Told]
) -> frozenset[str]:
    """Fingerprints of the alerts that belong to a route's group now.

    Args:
        told: what was told of the group; it may be about alerts that nobody knows of now.
    """
    return frozenset(
        mark
        for mark, labels in _alerts(present, [told]).items()
        if route.group(labels) == group
        and any(one.key == route.key for one in routing.root.matching(labels))
    )


def plan(
    routing: Routing,
    receivers: Sequence[str],
    stored: Mapping[Key, StoredGroup],
    present: Present,
    *,
    now: datetime,
) -> list[Target]:
    """Every group that may have news for one of ``receivers``, in a fixed order.

    Args:
        stored: what is remembered, by receiver and group.
        present: what is true.
    """
    found: dict[Key, Target] = {}
    for one in _route_groups(routing, stored, present):
        audience = one.route.audience(receivers)
        marks = frozenset(one.marks)
        at_once = [each.receiver for each in audience if each.after is None]
        for each in audience:
            escalated = None
            if each.after is not None:
                escalated = _escalated(one, each, at_once, stored, present, now)
            target = Target(each.receiver, one.group, one.route, marks, escalated)
            found[target.key] = target
    for key, kept in stored.items():
        if key not in found and _fires(kept.state):
            found[key] = Target(key[0], kept.group, None, frozenset())
    return [found[key] for key in sorted(found)]


def _alerts(present: Present, told: Iterable[Mapping[str, Told]]) -> dict[str, Labels]:
    """Fingerprint and labels of what fires, of what ended lately, and of what was told firing."""
    found: dict[str, Labels] = {mark: one.labels for mark, one in present.firing.items()}
    for mark, some in present.ended.items():
        found.setdefault(mark, some[0].labels)
    for known in told:
        for mark, one in known.items():
            if one.status == "firing":
                found.setdefault(mark, one.alert["labels"])
    return found


def _route_groups(
    routing: Routing, stored: Mapping[Key, StoredGroup], present: Present
) -> Collection[_RouteGroup]:
    alerts = _alerts(present, [kept.state.told for kept in stored.values()])
    found: dict[str, _RouteGroup] = {}
    for mark, labels in alerts.items():
        for route in routing.root.matching(labels):
            group = route.group(labels)
            found.setdefault(group.key, _RouteGroup(route, group)).marks.add(mark)
    return found.values()


def _fires(state: GroupState) -> bool:
    return any(one.status == "firing" for one in state.told.values())


def _escalated(
    one: _RouteGroup,
    step: Audience,
    at_once: Sequence[str],
    stored: Mapping[Key, StoredGroup],
    present: Present,
    now: datetime,
) -> frozenset[str]:
    """The episodes that it was decided to tell to the first receivers ``step.after`` ago or longer,
    and that nobody has acknowledged. Where there is no first receiver they count from when they
    fired.

    It makes no difference whether a message arrived, or is held back by a limit: a receiver that
    hears nothing must not keep the next from hearing."""
    assert step.after is not None
    key = one.group.stored_key
    first = [stored[name, key].state.told for name in at_once if (name, key) in stored]
    own = stored.get((step.receiver, key))
    due = set()
    for mark in one.marks & present.firing.keys():
        episode = present.firing[mark]
        if own is not None and mark in own.state.told and own.state.told[mark].status == "firing":
            continue
        times = [told[mark].at for told in first if mark in told and told[mark].status == "firing"]
        if not at_once:
            times = [episode.fired_at]
        is_late = bool(times) and now - min(times) >= step.after
        if is_late and episode.id not in present.acknowledged:
            due.add(episode.id)
    return frozenset(due)
