"""Looking for alerts: those that hold now, or those that were believed at an earlier time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, or_, select
from sqlalchemy.engine import Row

from monitoring.alerts.episodes import episode_values, put_in_order
from monitoring.alerts.matchers import Matcher, match_all
from monitoring.alerts.overlay import RESOLVED_BY_HAND
from monitoring.alerts.read import SELECT_ALERT, AlertRow, Episode, as_they_stand
from monitoring.pages import Page, read_page
from monitoring.policy.versions import read_timeline
from userdb.models import Alert, AlertTransition, OperatorAction, Series


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts are looked for; None and empty: all.

    Attributes:
        state: pending, firing or resolved.
        fired: only episodes that fired, or only those that never did.
        matchers: of the labels that receivers are told: the policy's name is ``alertname``.
        acknowledged: whether somebody has acknowledged it.
        since: leave out episodes that had ended by then.
        until: leave out episodes that began then or later.
    """

    id: str | None = None
    state: str | None = None
    fired: bool | None = None
    policy: str | None = None
    severity: str | None = None
    matchers: tuple[Matcher, ...] = ()
    acknowledged: bool | None = None
    since: datetime | None = None
    until: datetime | None = None

    def accepts(self, alert: AlertRow) -> bool:
        """What the queries can't tell."""
        if self.acknowledged not in (None, alert.acknowledged_at is not None):
            return False
        if self.severity not in (None, alert.severity):
            return False
        told = {**alert.labels, "alertname": alert.policy, "severity": alert.severity}
        return match_all(self.matchers, told)

    @property
    def is_told_by_queries(self) -> bool:
        return self.acknowledged is None and self.severity is None and not self.matchers


@dataclass(frozen=True)
class Place:
    """Where a page ends: alerts are in the order of ``active_at``, newest first, then of policy
    and id."""

    active_at: datetime
    policy: str
    id: str


def find_alerts(
    connection: Connection,
    wanted: AlertFilter,
    *,
    as_of: datetime | None = None,
    after: Place | None = None,
    limit: int = 500,
) -> Page[AlertRow, Place]:
    """A page of alerts as they stand now, or as they stood ``as_of``, newest first.

    ``as_of`` is the time at which userdb is asked, not event time: transitions that were recorded
    by then and not superseded, and what operators had done.
    """

    def read(after: Place | None, limit: int) -> list[AlertRow]:
        rows = (
            _present(connection, wanted, after, limit)
            if as_of is None
            else _past(connection, wanted, as_of, after, limit)
        )
        return as_they_stand(connection, rows, as_of=as_of)

    return read_page(
        read,
        lambda alert: Place(alert.active_at, alert.policy, alert.id),
        after=after,
        limit=limit,
        accepts=None if wanted.is_told_by_queries else wanted.accepts,
    )


def list_alerts(
    connection: Connection,
    *,
    state: str | None = None,
    fired: bool | None = None,
    policy: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = 500,
) -> list[AlertRow]:
    """Episodes that hold now, newest first: see ``AlertFilter``; at most ``limit``, None: all."""
    wanted = AlertFilter(state=state, fired=fired, policy=policy, since=since, until=until)
    return as_they_stand(connection, _present(connection, wanted, None, limit))


def _present(
    connection: Connection, wanted: AlertFilter, after: Place | None, limit: int | None
) -> list[Episode]:
    query = _narrowed(
        SELECT_ALERT.where(Alert.superseded_at.is_(None)),
        Alert,
        func.coalesce(Alert.resolved_at, RESOLVED_BY_HAND),
        case((RESOLVED_BY_HAND.is_not(None), "resolved"), else_=Alert.state),
        wanted,
        after,
    )
    if wanted.state in ("pending", "firing"):
        # says no more than the CASE, but by an index
        query = query.where(Alert.state == wanted.state)
    if wanted.severity is not None:
        query = query.where(Alert.severity == wanted.severity)
    return [Episode(**row) for row in connection.execute(query.limit(limit)).mappings()]


def _past(
    connection: Connection,
    wanted: AlertFilter,
    as_of: datetime,
    after: Place | None,
    limit: int,
) -> list[Episode]:
    """Episodes as their transitions told them ``as_of``."""
    then = _believed(wanted, as_of)
    by_hand = (
        select(func.min(OperatorAction.at))
        .where(
            then.c.resolved_at.is_(None),
            OperatorAction.policy == then.c.policy,
            OperatorAction.series_id == then.c.series_id,
            OperatorAction.action == "resolve",
            OperatorAction.at > then.c.active_at,
            OperatorAction.at <= as_of,
        )
        .correlate(then)
        .scalar_subquery()
    )
    ended_at = func.coalesce(then.c.resolved_at, by_hand)
    state = case(
        (ended_at.is_not(None), "resolved"),
        (then.c.fired_at.is_not(None), "firing"),
        else_="pending",
    )
    query = select(
        then.c.id, then.c.policy, Alert.recorded_at, by_hand.label("by_hand_at")
    ).join_from(then, Alert, Alert.id == then.c.id)
    query = _narrowed(query, then.c, ended_at, state, wanted, after)
    chosen = connection.execute(query.limit(limit)).all()
    transitions = _transitions(connection, [row.id for row in chosen], as_of)
    timelines = {
        policy: read_timeline(connection, policy, as_of=as_of)
        for policy in {row.policy for row in chosen}
    }
    labels = {
        row.id: row.labels
        for row in connection.execute(
            select(Series.id, Series.labels).where(
                Series.id.in_({rows[0].series_id for rows in transitions.values()})
            )
        )
    }
    return [
        Episode(
            id=row.id,
            recorded_at=row.recorded_at,
            by_hand_at=row.by_hand_at,
            **episode_values(row.policy, rows, labels[rows[0].series_id], timelines[row.policy]),
        )
        for row in chosen
        for rows in [transitions[row.id]]
    ]


def _believed(wanted: AlertFilter, as_of: datetime) -> Any:
    """Episodes by their transitions ``as_of``, as a subquery."""
    one = AlertTransition
    changes = one.from_state != one.to_state
    over = one.to_state.in_(("resolved", "inactive"))
    query = (
        select(
            one.alert_id.label("id"),
            one.policy,
            one.series_id,
            func.min(one.at).label("active_at"),
            func.min(case((and_(changes, one.to_state == "firing"), one.at))).label("fired_at"),
            func.min(case((and_(changes, over), one.at))).label("resolved_at"),
        )
        .where(_held(as_of))
        .group_by(one.alert_id, one.policy, one.series_id)
    )
    if wanted.policy is not None:
        query = query.where(one.policy == wanted.policy)
    if wanted.id is not None:
        query = query.where(one.alert_id == wanted.id)
    return query.subquery()


def _held(as_of: datetime) -> Any:
    one = AlertTransition
    return and_(
        one.recorded_at <= as_of, or_(one.superseded_at.is_(None), one.superseded_at > as_of)
    )


def _transitions(
    connection: Connection, ids: Sequence[str], as_of: datetime
) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(
        select(AlertTransition.__table__).where(AlertTransition.alert_id.in_(ids), _held(as_of))
    ):
        found.setdefault(row.alert_id, []).append(row)
    for rows in found.values():
        put_in_order(rows)
    return found


def _narrowed(
    query: Select[*tuple[Any, ...]],
    of: Any,
    ended_at: Any,
    state: Any,
    wanted: AlertFilter,
    after: Place | None,
) -> Select[*tuple[Any, ...]]:
    """What both queries have in common; ``of`` has the columns of an episode."""
    if wanted.id is not None:
        query = query.where(of.id == wanted.id)
    if wanted.state is not None:
        query = query.where(state == wanted.state)
    if wanted.fired is not None:
        query = query.where(of.fired_at.is_not(None) if wanted.fired else of.fired_at.is_(None))
    if wanted.policy is not None:
        query = query.where(of.policy == wanted.policy)
    if wanted.since is not None:
        query = query.where(ended_at.is_(None) | (wanted.since < ended_at))
    if wanted.until is not None:
        query = query.where(of.active_at < wanted.until)
    if after is not None:
        query = query.where(
            or_(
                of.active_at < after.active_at,
                and_(of.active_at == after.active_at, of.policy > after.policy),
                and_(
                    of.active_at == after.active_at,
                    of.policy == after.policy,
                    of.id > after.id,
                ),
            )
        )
    return query.order_by(of.active_at.desc(), of.policy, of.id)
