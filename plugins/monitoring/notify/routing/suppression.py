"""Suppression: alerts that nobody is told of now, by silences and by inhibition. Pure.

It is by now: an alert that fires is told when its suppression ends. One that is over was
suppressed if it was so in the last moment in which it fired: it is not told afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from monitoring.alerts.matchers import match_all
from monitoring.alerts.silence import Silence
from monitoring.notify.episode import Episode, Present
from monitoring.notify.routing.definition import InhibitRule
from monitoring.notify.routing.tree import Route

Labels = Mapping[str, str]
_MOMENT = timedelta(microseconds=1)


class Suppression:
    """What is suppressed at ``now``.

    Args:
        silences: those that can hold now or held within the last hour.
        present: of all policies; what fires in it inhibits.
    """

    def __init__(
        self,
        silences: Sequence[Silence],
        rules: Iterable[InhibitRule],
        present: Present,
        now: datetime,
    ) -> None:
        self._silences = silences
        self._now = now
        self._rules = [_Sources(rule, present) for rule in rules]

    def is_quiet(self, route: Route, labels: Labels) -> bool:
        """Whether a route tells nobody of an alert now."""
        return self._at(route, labels, self._now)

    def may_begin(self, route: Route, episode: Episode) -> bool:
        """Whether a route tells of an episode that was not told."""
        if self._at(route, episode.labels, self._now):
            return False
        if episode.resolved_at is None:
            return True
        last = max(episode.resolved_at - _MOMENT, episode.fired_at)
        return not self._at(route, episode.labels, last)

    def _at(self, route: Route, labels: Labels, at: datetime) -> bool:
        return (
            route.is_muted(at)
            or any(one.silences(labels, at) for one in self._silences)
            or any(one.inhibits(labels, at) for one in self._rules)
        )


class _Sources:
    """A rule, and what inhibits by it."""

    def __init__(self, rule: InhibitRule, present: Present) -> None:
        self._rule = rule
        self._sources: dict[tuple[str, ...], list[Episode]] = {}
        ended = (one for some in present.ended.values() for one in some)
        for one in (*present.firing.values(), *ended):
            if match_all(rule.source_matchers, one.labels):
                self._sources.setdefault(self._key(one.labels), []).append(one)

    def _key(self, labels: Labels) -> tuple[str, ...]:
        return tuple(labels.get(name, "") for name in self._rule.equal)

    def inhibits(self, labels: Labels, at: datetime) -> bool:
        rule = self._rule
        if not self._sources or not match_all(rule.target_matchers, labels):
            return False
        # what is on both sides is not inhibited by what is on both sides
        both = match_all(rule.source_matchers, labels)
        return any(
            one.fired_at <= at
            and (one.resolved_at is None or at < one.resolved_at)
            and not (both and match_all(rule.target_matchers, one.labels))
            for one in self._sources.get(self._key(labels), ())
        )
