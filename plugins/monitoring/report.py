"""How good the alerts were: per policy over a range, so that noise can be seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from sqlalchemy import Connection, case, func, select

from monitoring.alerts.feedback import acts_by_alert, feedback_of
from monitoring.alerts.overlay import read_standing
from userdb.models import Alert, Delivery, DeliveryAttempt
from userdb.store import Store

_BATCH = 1000


@dataclass(frozen=True)
class PolicyReport:
    """What one policy's alerts, or all, were like. Times are seconds of event time.

    Attributes:
        policy: its name; None for all together.
        episodes: that fired in the range.
        acknowledged: of these, by the first acknowledgement that anybody gave.
        median_to_acknowledge_s: from firing to that; None where none was acknowledged.
        resolved: of these, that are over.
        median_to_resolve_s: from firing to the end; None where none is over.
        true_positives: marked so by operators.
        false_positives: marked so by operators.
        unmarked: of which nobody said.
        false_positive_share: of the marked; None where none is marked.
        flapping: episodes in which the series began to flap.
        sent: messages decided in the range that their receivers took. One about several policies
            counts for each of them, and once in the total.
        failed: those that were given up.
        failed_attempts: tries that failed, those of messages that were sent later included.
    """

    policy: str | None
    episodes: int
    acknowledged: int
    median_to_acknowledge_s: float | None
    resolved: int
    median_to_resolve_s: float | None
    true_positives: int
    false_positives: int
    unmarked: int
    false_positive_share: float | None
    flapping: int
    sent: int
    failed: int
    failed_attempts: int


@dataclass(frozen=True)
class Report:
    """The policies that have something to report, by name, and all of them together."""

    start: datetime
    end: datetime
    policies: tuple[PolicyReport, ...]
    total: PolicyReport


@dataclass(frozen=True)
class _Episode:
    policy: str
    acknowledged_s: float | None
    resolved_s: float | None
    mark: str | None
    flaps: bool


@dataclass(frozen=True)
class _Message:
    policies: frozenset[str]
    status: str
    failed_attempts: int


def read_report(
    store: Store, start: datetime, end: datetime, *, policy: str | None = None
) -> Report:
    """Report on the episodes that fired, and the messages that were decided, in [start, end).

    Args:
        policy: only this one's.
    """
    with store.read() as connection:
        episodes = list(_episodes(connection, start, end, policy))
        messages = list(_messages(connection, start, end, policy))
    names = {one.policy for one in episodes}.union(*(one.policies for one in messages))
    if policy is not None:
        names &= {policy}
    return Report(
        start,
        end,
        tuple(
            _summary(
                name,
                [one for one in episodes if one.policy == name],
                [one for one in messages if name in one.policies],
            )
            for name in sorted(names)
        ),
        _summary(None, episodes, messages),
    )


def _episodes(
    connection: Connection, start: datetime, end: datetime, policy: str | None
) -> Iterator[_Episode]:
    query = select(Alert.id, Alert.fired_at, Alert.flapping_at).where(
        Alert.superseded_at.is_(None), Alert.fired_at >= start, Alert.fired_at < end
    )
    if policy is not None:
        query = query.where(Alert.policy == policy)
    rows = {row.id: row for row in connection.execute(query)}
    ids = sorted(rows)
    for at in range(0, len(ids), _BATCH):
        standing = read_standing(connection, ids[at : at + _BATCH])
        acts = acts_by_alert(connection, standing)
        for one in standing:
            fired = rows[one.id].fired_at
            done = acts[one.id]
            acknowledged = [act.at for act in done if act.action == "acknowledge"]
            yield _Episode(
                one.policy,
                # one who saw it pending was there when it fired
                max((acknowledged[0] - fired).total_seconds(), 0.0) if acknowledged else None,
                None
                if one.resolved_at is None
                else max((one.resolved_at - fired).total_seconds(), 0.0),
                feedback_of(done).mark,
                rows[one.id].flapping_at is not None,
            )


def _messages(
    connection: Connection, start: datetime, end: datetime, policy: str | None
) -> Iterator[_Message]:
    tries = (
        select(
            DeliveryAttempt.delivery_id,
            func.sum(case((DeliveryAttempt.outcome != "sent", 1), else_=0)).label("failed"),
        )
        .join(Delivery, Delivery.id == DeliveryAttempt.delivery_id)
        .where(Delivery.created_at >= start, Delivery.created_at < end)
        .group_by(DeliveryAttempt.delivery_id)
        .subquery()
    )
    query = (
        select(Delivery.status, Delivery.payload, tries.c.failed)
        .join_from(Delivery, tries, tries.c.delivery_id == Delivery.id, isouter=True)
        .where(Delivery.created_at >= start, Delivery.created_at < end)
    )
    for row in connection.execute(query):
        alerts = row.payload.get("alerts", ())
        policies = frozenset(str(one["labels"].get("alertname")) for one in alerts)
        if policy is None or policy in policies:
            yield _Message(policies, row.status, int(row.failed or 0))


def _summary(
    name: str | None, episodes: Sequence[_Episode], messages: Sequence[_Message]
) -> PolicyReport:
    acknowledged = _known(one.acknowledged_s for one in episodes)
    resolved = _known(one.resolved_s for one in episodes)
    marks = Counter(one.mark for one in episodes)
    marked = marks["true_positive"] + marks["false_positive"]
    statuses = Counter(one.status for one in messages)
    return PolicyReport(
        policy=name,
        episodes=len(episodes),
        acknowledged=len(acknowledged),
        median_to_acknowledge_s=median(acknowledged) if acknowledged else None,
        resolved=len(resolved),
        median_to_resolve_s=median(resolved) if resolved else None,
        true_positives=marks["true_positive"],
        false_positives=marks["false_positive"],
        unmarked=len(episodes) - marked,
        false_positive_share=marks["false_positive"] / marked if marked else None,
        flapping=sum(one.flaps for one in episodes),
        sent=statuses["sent"],
        failed=statuses["dead"],
        failed_attempts=sum(one.failed_attempts for one in messages),
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [one for one in values if one is not None]
