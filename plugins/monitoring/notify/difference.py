"""The difference between what a receiver was told of a group and what is true now. Pure.

It is a function of two states, not of events: whatever was missed between them, and however
often it is asked, the receiver ends up knowing what is true.

- An alert that fires and was not told firing is news; so is the end of one that was.
- A start that late data moved is no news: the told episode is taken for the one that replaced it.
- A told episode that turns out never to have been is told resolved, from the payload last sent,
  with the annotation ``retracted``.
- An episode that was not told and ended within the last hour is told: firing, then resolved.
- While an alert flaps it is told once, firing; its end is told when it has calmed down.
- What the receiver is not to hear of (silenced, inhibited, muted; not escalated to it) begins no
  message; but whoever was told firing is told resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitoring.notify.episode import Episode, Present, Reference
from monitoring.notify.payload import AlertPayload, parse_time
from monitoring.notify.told import Told, payloads_of

#: What was told resolved is remembered for so long, so that it is not told again.
REMEMBERED = timedelta(hours=24)
_NONE = timedelta(0)
#: The annotation of what is told of a flapping alert.
FLAPPING = "flapping"

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Hearing:
    """What a receiver is to hear of a group, and how.

    Attributes:
        wait: a group begins when its oldest alert has fired for so long, in event time; an
            episode that is over is told if it lasted so long.
        begun: the group has begun: what joins it does not wait.
        may_begin: whether an episode that was not told may be.
        is_quiet: whether an alert that was told is suppressed now, or is none of the group's any
            more: it is left out of lists.
        send_resolved: whether it wants to know of ends.
        repeat_acknowledged: whether what is acknowledged is told again too.
    """

    wait: timedelta = _NONE
    begun: bool = False
    may_begin: Callable[[Episode], bool] = lambda _: True
    is_quiet: Callable[[AlertPayload], bool] = lambda _: False
    send_resolved: bool = True
    repeat_acknowledged: bool = False


@dataclass(frozen=True)
class Difference:
    """What to tell of a group: messages in order, and what the receiver knows after them."""

    messages: tuple[tuple[AlertPayload, ...], ...]
    told: Mapping[str, Told]


def difference(
    told: Mapping[str, Told],
    present: Present,
    hearing: Hearing,
    *,
    now: datetime,
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
    ages = (present.reached[one.policy] - one.fired_at for one in present.firing.values())
    ready = hearing.begun or any(max(age, _NONE) >= hearing.wait for age in ages)
    for mark in sorted({*told, *present.firing, *present.ended}):
        last = told.get(mark)
        if last is not None and last.policy not in present.fresh:
            continue
        rekeyed, steps = _Alert(mark, present, hearing, ready, now, external_url).steps(last)
        if steps:
            news[mark] = steps
        elif rekeyed is not None:
            known[mark] = rekeyed
    messages = tuple(_messages(known, news, hearing))
    if known != told:
        known = {
            mark: one
            for mark, one in known.items()
            if one.status == "firing" or one.over_at > now - REMEMBERED or mark in news
        }
    return Difference(messages, known)


@dataclass(frozen=True)
class _Alert:
    """One alert of the group, and what it is looked at with."""

    mark: str
    present: Present
    hearing: Hearing
    ready: bool
    now: datetime
    external_url: str

    def steps(self, last: Told | None) -> tuple[Told | None, list[Told]]:
        """Its news in order; and what was told, under the episode that it now is."""
        firing = self.present.firing.get(self.mark)
        ended = self.present.ended.get(self.mark, ())
        if self.mark in self.present.flapping:
            return self._flaps(last, firing or next(reversed(ended), None))
        steps: list[Told] = []
        if last is not None and last.status == "firing":
            last, is_news = self._goes_on(last, firing)
            if is_news:
                steps.append(last)
        for one in ended:
            if self._is_untold(last, one):
                assert one.resolved_at is not None
                began = self._tell(one)
                last = began.resolved(one.resolved_at)
                steps += [began, last]
        is_told = last is not None and last.status == "firing"
        if firing and not is_told and self.ready and self.hearing.may_begin(firing):
            last = self._tell(firing)
            steps.append(last)
        return last, steps

    def _flaps(self, last: Told | None, newest: Episode | None) -> tuple[Told | None, list[Told]]:
        if newest is None:
            return last, []
        if last is not None and last.status == "firing":
            return replace(last, episode=newest.id), []
        if (last is None or last.precedes(newest)) and self.hearing.may_begin(newest):
            told = self._tell(newest, {FLAPPING: "it opens and resolves often"})
            return last, [told]
        return last, []

    def _goes_on(self, last: Told, firing: Episode | None) -> tuple[Told, bool]:
        """What became of an alert that was told firing, and whether that is news."""
        episode = self.present.standing.get(last.episode) or self._heir(last, firing)
        if episode is None:
            return last.resolved(self.now, retracted=True), True
        last = replace(last, episode=episode.id)
        if episode.resolved_at is not None:
            return last.resolved(episode.resolved_at), True
        if firing is None or firing.id != episode.id:
            return last.resolved(self.now), True
        return last, False

    def _heir(self, told: Told, firing: Episode | None) -> Episode | None:
        """The episode that stands where the told one, which doesn't hold any more, stood."""
        since = parse_time(told.alert["startsAt"])
        for one in self.present.heirs.get(self.mark, ()):
            if one.resolved_at is not None and one.resolved_at > since:
                return one
        return firing

    def _is_untold(self, last: Told | None, one: Episode) -> bool:
        """Whether an episode that is over is still to be told."""
        assert one.resolved_at is not None
        return (
            one.resolved_at - one.fired_at >= self.hearing.wait
            and (last is None or last.precedes(one))
            and self.hearing.may_begin(one)
        )

    def _tell(self, episode: Episode, besides: Labels | None = None) -> Told:
        return Told.firing(episode, self.now, self.external_url, besides or {})


def _messages(
    known: dict[str, Told], news: Mapping[str, Sequence[Told]], hearing: Hearing
) -> Iterator[tuple[AlertPayload, ...]]:
    """Message after message, each alert's next step in it; ``known`` follows.

    Like Alertmanager's, a message lists the group's other firing alerts too. What is new comes
    first, so that it is not what a receiver's limit cuts off.
    """
    for number in range(max((len(steps) for steps in news.values()), default=0)):
        changed = {mark: steps[number] for mark, steps in news.items() if number < len(steps)}
        known.update(changed)
        if not hearing.send_resolved:
            changed = {mark: one for mark, one in changed.items() if one.status == "firing"}
        if changed:
            others = {mark: one for mark, one in known.items() if mark not in changed}
            yield payloads_of(changed.values()) + payloads_of(
                listed(others.values(), hearing.is_quiet)
            )


def listed(told: Iterable[Told], is_quiet: Callable[[AlertPayload], bool]) -> list[Told]:
    """What was told firing and is not quiet."""
    return [one for one in told if one.status == "firing" and not is_quiet(one.alert)]


def references(told: Mapping[str, Told]) -> list[Reference]:
    """The episodes that are told firing."""
    return [one.reference for one in told.values() if one.status == "firing"]
