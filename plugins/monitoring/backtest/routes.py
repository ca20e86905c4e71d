"""Who would have been told what: routing played over alerts, minute by minute. Pure.

Every minute is decided as the chain does, by the same code, with every message delivered at once.
Receivers are those of the file's ``receivers`` and those that its routes name; where that is
nobody, one whose name is ``*``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitoring.alerts.silence import Silence
from monitoring.backtest.run import PolicyRun, episodes
from monitoring.notify.channels import forgets
from monitoring.notify.episode import TOLD_LATE, Episode, Present
from monitoring.notify.payload import AlertPayload, Status, fingerprint
from monitoring.notify.routing.decision import GroupState
from monitoring.notify.routing.definition import EVERYONE
from monitoring.notify.routing.digest import UNLIMITED, Allowance, within_limit
from monitoring.notify.routing.plan import Key, StoredGroup, Target, plan
from monitoring.notify.routing.suppression import Suppression
from monitoring.notify.routing.tree import Routing
from monitoring.notify.told import Told, payloads_of
from userdb.times import from_minute

_MINUTE = timedelta(minutes=1)
Labels = Mapping[str, str]


@dataclass(frozen=True)
class SimulatedAlert:
    """An alert that fires from ``begin`` to ``end``, in minutes; None: to the end of the test.

    ``flaps`` are the spans in which it flaps.
    """

    labels: Labels
    begin: int
    end: int | None
    flaps: tuple[tuple[int, int | None], ...] = ()


@dataclass(frozen=True)
class RoutedMessage:
    """What a receiver got: each alert's labels and status, in the message's order."""

    at: int
    receiver: str
    alerts: tuple[tuple[Labels, Status], ...]


@dataclass(frozen=True)
class Acknowledgement:
    """The alerts with all these labels that fire at ``at``, in minutes, are acknowledged until
    ``until``; None: for good."""

    at: int
    labels: Labels
    until: int | None = None


def alerts_of(run: PolicyRun) -> list[SimulatedAlert]:
    """The alerts of a policy, with labels as receivers get them."""
    policy = run.policy
    marks: dict[int, list[tuple[int, int | None]]] = {}
    for mark in run.marks:
        spans = marks.setdefault(mark.series, [])
        if mark.reason == "flapping":
            spans.append((mark.at, None))
        elif spans:
            spans[-1] = (spans[-1][0], mark.at)
    return [
        SimulatedAlert(
            {**policy.labels, **labels, "alertname": policy.name, "severity": policy.severity},
            one.fired_at,
            one.resolved_at,
            tuple(marks.get(number, ())),
        )
        for labels, number, transitions in run.by_series()
        for one in episodes(transitions)
        if one.fired_at is not None
    ]


def simulate(
    routing: Routing,
    alerts: Iterable[SimulatedAlert],
    minutes: range,
    *,
    intervals: Mapping[str, int],
    silences: Sequence[Silence] = (),
    acknowledgements: Sequence[Acknowledgement] = (),
) -> list[RoutedMessage]:
    """The messages of all receivers, in order of time.

    Args:
        minutes: each is decided once.
        intervals: policy → minutes between its evaluations; of others 1.
    """
    world = _World(routing, list(alerts), minutes.start, intervals, silences, acknowledgements)
    return [message for minute in minutes for message in world.step(minute)]


class _World:
    def __init__(
        self,
        routing: Routing,
        alerts: Sequence[SimulatedAlert],
        start: int,
        intervals: Mapping[str, int],
        silences: Sequence[Silence],
        acknowledgements: Sequence[Acknowledgement],
    ) -> None:
        self._routing = routing
        self._receivers = _names(routing)
        self._specs = {one.name: one for one in routing.receivers}
        self._episodes = [
            _episode(number, one)
            for number, one in enumerate(sorted(alerts, key=lambda one: one.begin))
        ]
        self._flaps = [(fingerprint(one.labels), one.flaps) for one in alerts if one.flaps]
        self._start = start
        self._intervals = {one.policy: intervals.get(one.policy, 1) for one in self._episodes}
        self._silences = silences
        self._acknowledgements = acknowledgements
        self._stored: dict[Key, StoredGroup] = {}
        self._held: dict[str, dict[str, Told]] = {}
        self._sent: dict[str, list[datetime]] = {}

    def step(self, minute: int) -> list[RoutedMessage]:
        now = from_minute(minute)
        present = self._present(minute)
        suppression = Suppression(self._silences, self._routing.inhibit_rules, present, now)
        found = []
        for target in plan(self._routing, self._receivers, self._stored, present, now=now):
            for alerts in self._tell(target, present, suppression, now):
                found.append(self._message(minute, target.receiver, alerts))
        for name in self._due(now):
            found.append(self._message(minute, name, self._digest(name)))
        return found

    def _tell(
        self, target: Target, present: Present, suppression: Suppression, now: datetime
    ) -> Sequence[Sequence[AlertPayload]]:
        name = target.receiver
        kept = self._stored.get(target.key)
        state = GroupState() if kept is None else kept.state
        spec = self._specs.get(name)
        decision = target.decide(
            state,
            present,
            suppression,
            now=now,
            send_resolved=spec is None or spec.send_resolved,
            repeat_acknowledged=spec is not None and forgets(spec.kind),
        )
        self._stored[target.key] = StoredGroup(target.group, decision.state)
        messages, self._held[name] = within_limit(
            self._held.get(name, {}), state.told, decision, self._allowance(name, now)
        )
        self._sent.setdefault(name, []).extend([now] * len(messages))
        return messages

    def _due(self, now: datetime) -> list[str]:
        """The receivers that get a digest now."""
        found = []
        for name, held in sorted(self._held.items()):
            if held and self._allowance(name, now).allows_digest():
                self._sent.setdefault(name, []).append(now)
                found.append(name)
        return found

    def _digest(self, name: str) -> Sequence[AlertPayload]:
        return payloads_of(self._held.pop(name).values())

    def _allowance(self, name: str, now: datetime) -> Allowance:
        limit = self._routing.limits.get(name)
        if limit is None:
            return Allowance(left=UNLIMITED, is_waiting=False, is_clear=True)
        used = sum(at > now - limit.per for at in self._sent.get(name, ()))
        return Allowance(limit.messages - used, bool(self._held.get(name)), is_clear=True)

    def _present(self, minute: int) -> Present:
        """What is true by each policy's newest evaluation."""
        firing: dict[str, Episode] = {}
        ended: dict[str, list[Episode]] = {}
        standing: dict[str, Episode] = {}
        reached = {
            policy: from_minute(minute - (minute - self._start) % interval)
            for policy, interval in self._intervals.items()
        }
        for one in self._episodes:
            known = reached[one.policy]
            if one.fired_at > known:
                continue
            if one.resolved_at is None or one.resolved_at > known:
                seen = replace(one, resolved_at=None)
                firing[one.fingerprint] = seen
            else:
                seen = one
                if one.resolved_at > from_minute(minute) - TOLD_LATE:
                    ended.setdefault(one.fingerprint, []).append(one)
            standing[one.id] = seen
        flapping = {
            mark
            for mark, spans in self._flaps
            if any(begin <= minute and (end is None or minute < end) for begin, end in spans)
        }
        return Present(
            fresh=frozenset(reached),
            reached=reached,
            firing=firing,
            ended=ended,
            standing=standing,
            flapping=frozenset(flapping),
            acknowledged=frozenset(
                one.id for one in standing.values() if self._is_acknowledged(one, minute)
            ),
        )

    def _is_acknowledged(self, alert: Episode, minute: int) -> bool:
        return any(
            alert.fired_at <= from_minute(one.at)
            and one.at <= minute
            and (one.until is None or minute < one.until)
            and one.labels.items() <= alert.labels.items()
            for one in self._acknowledgements
        )

    @staticmethod
    def _message(minute: int, receiver: str, alerts: Sequence[AlertPayload]) -> RoutedMessage:
        return RoutedMessage(
            minute, receiver, tuple((one["labels"], one["status"]) for one in alerts)
        )


def _names(routing: Routing) -> list[str]:
    named = [one.name for one in routing.receivers]
    for route in routing.root.walk():
        named += route.named
    return sorted(set(named)) or [EVERYONE]


def _episode(number: int, alert: SimulatedAlert) -> Episode:
    return Episode(
        id=str(number),
        policy=alert.labels["alertname"],
        labels=alert.labels,
        annotations={},
        fired_at=from_minute(alert.begin),
        resolved_at=None if alert.end is None else from_minute(alert.end),
        fingerprint=fingerprint(alert.labels),
    )
