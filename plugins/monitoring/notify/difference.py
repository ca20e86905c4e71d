"""The difference between what a receiver was told of a group and what is true now. Pure.

It is a function of two states, not of events: whatever was missed between them, and however
often it is asked, the receiver ends up knowing what is true.

- An alert that fires and was not told firing is news; so is the end of one that was.
- A start that late data moved is no news: the told episode is taken for the one that replaced it.
- A told episode that turns out never to have been is told resolved, from the payload last sent,
  with the annotation ``retracted``.
- An episode that was not told and ended within the last hour is told: firing, then resolved.
- While an alert flaps it is told once, firing; its end is told when it has calmed down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from monitoring.notify.payload import (
    RETRACTED,
    AlertPayload,
    Group,
    Status,
    firing_alert,
    parse_time,
    resolved_alert,
)
from monitoring.notify.present import Episode, Present, Reference

#: What was told resolved is remembered for so long, so that it is not told again.
_REMEMBERED = timedelta(hours=24)
_NONE = timedelta(0)
#: The annotation of what is told of a flapping alert.
FLAPPING = "flapping"


@dataclass(frozen=True)
class Grouping:
    """Which alerts are told together, and how long they must have fired.

    Attributes:
        by: label names; alerts that agree in them make a group.
        wait: an episode is told if it fired for at least so long, in event time.
    """

    by: tuple[str, ...] = ("alertname",)
    wait: timedelta = timedelta(0)

    def group(self, labels: Mapping[str, str]) -> Group:
        return Group({name: labels[name] for name in self.by if name in labels})


@dataclass(frozen=True)
class Told:
    """What a receiver was last told of one alert; ``alert`` is the payload last sent."""

    status: Status
    episode: str
    alert: AlertPayload

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Told:
        return cls(data["status"], data["episode"], data["alert"])

    def as_json(self) -> dict[str, Any]:
        return {"status": self.status, "episode": self.episode, "alert": self.alert}

    @property
    def policy(self) -> str:
        return self.alert["labels"]["alertname"]

    @property
    def reference(self) -> Reference:
        return Reference(self.episode, self.policy, parse_time(self.alert["startsAt"]))

    @property
    def over_at(self) -> datetime:
        """Event time at which what was told was over; a retracted alert never went on."""
        ended = RETRACTED not in self.alert["annotations"]
        return parse_time(self.alert["endsAt" if ended else "startsAt"])

    def precedes(self, episode: Episode) -> bool:
        """Whether what was told was over when ``episode``, another one, began."""
        if self.status == "firing" or self.episode == episode.id:
            return False
        return episode.fired_at >= self.over_at

    def resolved(self, at: datetime, *, retracted: bool = False) -> Told:
        alert = resolved_alert(self.alert, at, retracted=retracted)
        return replace(self, status="resolved", alert=alert)


@dataclass(frozen=True)
class Difference:
    """What to tell of a group: messages in order, and what the receiver knows after them."""

    messages: tuple[tuple[AlertPayload, ...], ...]
    told: Mapping[str, Told]


def difference(
    told: Mapping[str, Told],
    present: Present,
    *,
    now: datetime,
    grouping: Grouping,
    send_resolved: bool = True,
    external_url: str = "",
) -> Difference:
    """What a receiver must be told of one group.

    Args:
        told: by fingerprint, what it was told.
        present: what is true, of this group's alerts alone.
        now: the end of an alert that has none in event time (retracted; policy removed).
    """
    known = dict(told)
    news: dict[str, list[Told]] = {}
    for mark in sorted({*told, *present.firing, *present.ended}):
        last = told.get(mark)
        if last is not None and last.policy not in present.fresh:
            continue
        rekeyed, steps = _steps(mark, last, present, now, grouping.wait, external_url)
        if steps:
            news[mark] = steps
        elif rekeyed is not None:
            known[mark] = rekeyed
    messages = tuple(_messages(known, news, send_resolved=send_resolved))
    if known != told:
        known = {
            mark: one
            for mark, one in known.items()
            if one.status == "firing" or one.over_at > now - _REMEMBERED or mark in news
        }
    return Difference(messages, known)


def _steps(
    mark: str,
    last: Told | None,
    present: Present,
    now: datetime,
    wait: timedelta,
    external_url: str,
) -> tuple[Told | None, list[Told]]:
    """One alert's news in order; and what was told, under the episode that it now is."""
    firing = present.firing.get(mark)
    steps: list[Told] = []
    if mark in present.flapping:
        newest = firing or next(reversed(present.ended.get(mark, ())), None)
        if newest is None:
            return last, []
        if last is not None and last.status == "firing":
            return replace(last, episode=newest.id), []
        if last is None or last.precedes(newest):
            steps.append(_told(newest, external_url, {FLAPPING: "it opens and resolves often"}))
        return last, steps

    def tell(one: Told) -> Told:
        steps.append(one)
        return one

    if last is not None and last.status == "firing":
        episode = present.standing.get(last.episode) or _heir(mark, last, present, firing)
        if episode is None:
            last = tell(last.resolved(now, retracted=True))
        else:
            last = replace(last, episode=episode.id)
            if episode.resolved_at is not None:
                last = tell(last.resolved(episode.resolved_at))
            elif firing is None or firing.id != episode.id:
                last = tell(last.resolved(now))
    for one in present.ended.get(mark, ()):
        assert one.resolved_at is not None
        if one.resolved_at - one.fired_at >= wait and (last is None or last.precedes(one)):
            last = tell(_told(one, external_url))
            last = tell(last.resolved(one.resolved_at))
    if (
        firing is not None
        and (last is None or last.status == "resolved")
        and max(present.reached[firing.policy] - firing.fired_at, _NONE) >= wait
    ):
        last = tell(_told(firing, external_url))
    return last, steps


def _heir(mark: str, told: Told, present: Present, firing: Episode | None) -> Episode | None:
    """The episode that stands where the told one, which doesn't hold any more, stood."""
    since = parse_time(told.alert["startsAt"])
    for one in present.heirs.get(mark, ()):
        if one.resolved_at is not None and one.resolved_at > since:
            return one
    return firing


def _told(
    episode: Episode, external_url: str, besides: Mapping[str, str] = MappingProxyType({})
) -> Told:
    link = f"{external_url}/monitoring/alerts/{episode.id}/history" if external_url else ""
    annotations = {**episode.annotations, **besides}
    alert = firing_alert(episode.labels, annotations, episode.fired_at, link)
    return Told("firing", episode.id, alert)


def _messages(
    known: dict[str, Told], news: Mapping[str, Sequence[Told]], *, send_resolved: bool
) -> Iterator[tuple[AlertPayload, ...]]:
    """Message after message, each alert's next step in it; ``known`` follows.

    Like Alertmanager's, a message lists the group's other firing alerts too. What is new comes
    first, so that it is not what a receiver's limit cuts off.
    """
    for number in range(max((len(steps) for steps in news.values()), default=0)):
        changed = {mark: steps[number] for mark, steps in news.items() if number < len(steps)}
        known.update(changed)
        if not send_resolved:
            changed = {mark: one for mark, one in changed.items() if one.status == "firing"}
        if changed:
            others = {
                mark: one
                for mark, one in known.items()
                if one.status == "firing" and mark not in changed
            }
            yield (*_sorted(changed), *_sorted(others))


def _sorted(told: Mapping[str, Told]) -> list[AlertPayload]:
    alerts = [one.alert for one in told.values()]
    return sorted(alerts, key=lambda one: (one["status"], one["startsAt"], one["fingerprint"]))


def references(told: Mapping[str, Told]) -> list[Reference]:
    """The episodes that are told firing."""
    return [one.reference for one in told.values() if one.status == "firing"]
