"""A few lines of evidence for an alert's message: what userdb holds of its last minutes.

It is read while a group's lock is held. So every query reads a bounded range of an index: at most
an hour before the policy's watermark, and at most the newest ``_NEWEST`` events of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, func, select

from monitoring.notify.request_evidence import (
    RequestFound,
    RouteFound,
    read_exemplars,
    route_found,
    summed_routes,
    worst_first,
)
from monitoring.policy.definition import Policy
from monitoring.policy.signal_policy import SeriesPolicy, matches
from monitoring.signals import CONTAINER, EVENT, REQUEST, Family
from userdb.models import ContainerSample, MonitorEvent, Series
from userdb.times import to_minute

__all__ = [
    "ContainerFound",
    "EventsFound",
    "Evidence",
    "EvidenceReader",
    "RequestFound",
    "RouteFound",
]

#: Lines of each sort.
_LINES = 3
_NEWEST = 5000
_SHORTEST, _LONGEST = timedelta(minutes=5), timedelta(minutes=60)
#: Characters of an event's message.
_MESSAGE = 200


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True)


class EventsFound(_Found):
    """``count`` events of one exception type with messages that begin alike."""

    what: Literal["events"] = "events"
    count: int
    level: str
    exception_type: str | None
    message: str


class ContainerFound(_Found):
    """A container's newest sample, and how it ended in the last hour.

    Attributes:
        reason: why it waits or ended, in the runtime's word.
        exits, oom_kills: times that it ended unasked, and for want of memory; it may run again.
    """

    what: Literal["container"] = "container"
    container: str
    state: str
    health: str | None
    exit_code: int | None
    oom_killed: bool | None
    restarts: int
    finished_at: datetime | None
    # messages that were decided before these were read have none of them
    reason: str | None = None
    exits: int = 0
    oom_kills: int = 0


Evidence = Annotated[
    EventsFound | RouteFound | RequestFound | ContainerFound, Field(discriminator="what")
]


class EvidenceReader:
    """Reads evidence for the alerts of one message; what several of them need is read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read: dict[Any, list[Any]] = {}

    def read(
        self, policy: Policy, labels: Mapping[str, str], at: datetime
    ) -> Iterator[EventsFound | RouteFound | RequestFound | ContainerFound]:
        """Evidence for an alert of ``policy`` with ``labels`` in the policy's lookback before
        ``at``, an evaluation time."""
        lookback = timedelta(minutes=policy.lookback_minutes)
        start = at - min(max(lookback, _SHORTEST), _LONGEST)
        if isinstance(policy, SeriesPolicy):
            wanted = _Wanted(policy.family, labels, policy.where)
            if policy.family is EVENT:
                yield from self._events(wanted, start, at)
            elif policy.family is REQUEST:
                column = policy.signals[0].columns[0]
                yield from self._requests(wanted, start, at, column)
        if "container" in labels:
            yield from self._containers(_Wanted(CONTAINER, labels, {}), at)

    def _events(self, wanted: _Wanted, start: datetime, end: datetime) -> Iterator[EventsFound]:
        counts: Counter[tuple[str | None, str]] = Counter()
        levels: dict[tuple[str | None, str], str] = {}
        for row in self._once(("events", start, end), self._newest_events, start, end):
            if wanted.matches(row._mapping):
                key = (row.exception_type, _first_line(row.message))
                counts[key] += 1
                levels.setdefault(key, row.level)
        for key, count in counts.most_common(_LINES):
            yield EventsFound(count=count, level=levels[key], exception_type=key[0], message=key[1])

    def _newest_events(self, start: datetime, end: datetime) -> list[Any]:
        columns = [getattr(MonitorEvent, name) for name in EVENT.labels]
        return list(
            self._connection.execute(
                select(*columns, func.substr(MonitorEvent.message, 1, _MESSAGE).label("message"))
                .where(MonitorEvent.occurred_at >= start, MonitorEvent.occurred_at < end)
                .order_by(MonitorEvent.occurred_at.desc())
                .limit(_NEWEST)
            )
        )

    def _requests(
        self, wanted: _Wanted, start: datetime, end: datetime, column: str
    ) -> Iterator[RouteFound | RequestFound]:
        counted = self._once(("routes", start, end), summed_routes, self._connection, start, end)
        worst = worst_first([row for row in counted if wanted.matches(row.labels)], column)[:_LINES]
        yield from map(route_found, worst)
        yield from read_exemplars(
            self._connection,
            worst,
            column,
            start,
            end,
            named=sorted({row.labels.get("route", "") for row in counted}),
            limit=_LINES,
        )

    def _containers(self, wanted: _Wanted, at: datetime) -> Iterator[ContainerFound]:
        samples: dict[int, list[Any]] = {}
        for row in self._once(("containers", at), self._samples, at):
            if wanted.matches(row.labels):
                samples.setdefault(row.series_id, []).append(row)
        for rows in list(samples.values())[:_LINES]:
            row = rows[0]
            yield ContainerFound(
                container=row.labels.get("container", ""),
                state=row.state,
                health=row.health,
                exit_code=row.exit_code,
                oom_killed=row.oom_killed,
                restarts=row.restarts,
                finished_at=row.finished_at,
                reason=row.reason,
                exits=sum(one.exits or 0 for one in rows),
                oom_kills=sum(one.oom_kills or 0 for one in rows),
            )

    def _samples(self, at: datetime) -> list[Any]:
        """Samples of the last hour, newest first: containers are looked at every few minutes."""
        sample = ContainerSample
        columns = (
            *(sample.series_id, sample.state, sample.health, sample.exit_code),
            *(sample.oom_killed, sample.restarts, sample.finished_at),
            *(sample.reason, sample.exits, sample.oom_kills),
        )
        return list(
            self._connection.execute(
                select(Series.labels, *columns)
                .join(Series, Series.id == sample.series_id)
                .where(sample.minute >= to_minute(at - _LONGEST), sample.minute < to_minute(at))
                .order_by(sample.minute.desc())
            )
        )

    def _once(self, key: Any, read: Any, *arguments: Any) -> list[Any]:
        if key not in self._read:
            self._read[key] = read(*arguments)
        return self._read[key]


class _Wanted:
    """What an alert is about: rows with its labels that the policy's ``where`` takes in."""

    def __init__(
        self,
        family: Family,
        labels: Mapping[str, str],
        where: Mapping[str, str | list[str]],
    ) -> None:
        self._labels = {name: labels[name] for name in family.labels if name in labels}
        self._where = where

    def matches(self, row: Mapping[str, Any]) -> bool:
        return all((row.get(name) or "") == text for name, text in self._labels.items()) and all(
            matches(patterns, row.get(name) or "") for name, patterns in self._where.items()
        )


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
