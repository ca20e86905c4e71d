"""What operators' acts say of an alert: acknowledged by whom, assigned to whom, true or false."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, get_args

from sqlalchemy import Connection, select

from monitoring.policy.definition import Severity
from userdb.models import Alert, OperatorAction

#: The author of what follows from the policies and not from a person.
MONITORING = "monitoring"
_SEVERITIES: tuple[str, ...] = get_args(Severity)


@dataclass(frozen=True)
class Act:
    """One thing that an operator did; ``assignee`` is the person of ``assign``."""

    action: str
    at: datetime
    author: str
    note: str | None
    assignee: str | None = None


@dataclass(frozen=True)
class Feedback:
    """Where operators stand on one alert.

    ``mark`` is ``true_positive`` or ``false_positive``; None: nobody said.
    """

    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    assignee: str | None = None
    mark: str | None = None


class Spanned(Protocol):
    """What is needed of an alert to tell which acts are about it."""

    @property
    def id(self) -> str: ...
    @property
    def policy(self) -> str: ...
    @property
    def series_id(self) -> int: ...
    @property
    def severity(self) -> str: ...
    @property
    def active_at(self) -> datetime: ...
    @property
    def resolved_at(self) -> datetime | None: ...


def acts_of(connection: Connection, alert_id: str) -> list[Act]:
    """What operators did about an episode, or about one that it succeeds; oldest first."""
    episode = connection.execute(select(Alert.__table__).where(Alert.id == alert_id)).one_or_none()
    return [] if episode is None else acts_by_alert(connection, [episode])[alert_id]


def acts_by_alert(connection: Connection, alerts: Sequence[Spanned]) -> dict[str, list[Act]]:
    """Alert's id → what operators did about it, or about one that it succeeds; oldest first.

    An acknowledgement doesn't hold for a worse severity than the one that was acknowledged: where
    a successor, or a replay with other definitions, has a worse one, it is followed by an
    ``unacknowledge`` of ``monitoring``.
    """
    found: dict[str, list[Act]] = {one.id: [] for one in alerts}
    by_series: dict[tuple[str, int], list[Spanned]] = {}
    for one in alerts:
        by_series.setdefault((one.policy, one.series_id), []).append(one)
    if not alerts:
        return found
    rows = connection.execute(
        select(OperatorAction.__table__)
        .where(
            OperatorAction.policy.in_(sorted({one.policy for one in alerts})),
            OperatorAction.at >= min(one.active_at for one in alerts),
        )
        .order_by(OperatorAction.at, OperatorAction.id)
    )
    for row in rows:
        for one in by_series.get((row.policy, row.series_id), ()):
            overlaps = row.span_to > one.active_at and (
                one.resolved_at is None or row.span_from < one.resolved_at
            )
            if row.alert_id == one.id or overlaps:
                done = Act(row.action, row.at, row.author, row.note, row.assignee)
                found[one.id] += [done, *_reopened(done, row.severity, one.severity)]
    return found


def _reopened(done: Act, was: str | None, severity: str) -> Iterable[Act]:
    if done.action != "acknowledge" or was is None:
        return
    if _SEVERITIES.index(severity) > _SEVERITIES.index(was):
        note = f"acknowledged as {was}, and is {severity} now"
        yield Act("unacknowledge", done.at, MONITORING, note)


def acknowledged_among(connection: Connection, alerts: Sequence[Spanned]) -> frozenset[str]:
    """Ids of those of ``alerts`` that are acknowledged."""
    found = acts_by_alert(connection, alerts)
    return frozenset(one for one, acts in found.items() if is_acknowledged(acts))


def is_acknowledged(acts: Sequence[Act]) -> bool:
    """Whether the last word of ``acts``, oldest first, is an acknowledgement."""
    return feedback_of(acts).acknowledged_at is not None


def feedback_of(acts: Iterable[Act]) -> Feedback:
    """What ``acts``, oldest first, come to: the last word on each matter holds."""
    by: str | None = None
    at: datetime | None = None
    assignee: str | None = None
    mark: str | None = None
    for one in acts:
        if one.action == "acknowledge":
            by, at = one.author, one.at
        elif one.action == "unacknowledge":
            by, at = None, None
        elif one.action == "assign":
            assignee = one.assignee
        elif one.action in ("true_positive", "false_positive"):
            mark = one.action
    return Feedback(by, at, assignee, mark)
