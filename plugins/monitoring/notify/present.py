"""What is true now: the state at each policy's watermark, where that is recent enough.

A policy's state is the present one for ``Policy.present_for`` (the longer of 15 minutes and two
evaluation intervals) after its newest evaluation. Where it is older nobody knows, and nothing is
told or taken back. A removed policy has no alerts. What an operator resolved by hand is over at
once, before the fold has taken that in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.engine import Row

from monitoring.alerts.feedback import acknowledged_among
from monitoring.alerts.overlay import RESOLVED_BY_HAND
from monitoring.notify.episode import TOLD_LATE, Episode, Present, Reference
from monitoring.notify.payload import fingerprint
from monitoring.policy.versions import current_policies
from userdb.models import Alert, PolicyState
from userdb.times import from_minute

_DEFAULT_PRESENT = timedelta(minutes=15)
_BATCH = 5000
#: Before all times: SQLite finds what is later by an index, and what is not null by none.
_EVER = from_minute(0)
#: Of more series all of their policies are read.
_MOST_SERIES = 500


def read_present(
    connection: Connection,
    *,
    now: datetime,
    references: Sequence[Reference] = (),
    policies: Iterable[str] | None = None,
    series: Collection[int] | None = None,
) -> Present:
    """Read the present state.

    Args:
        references: episodes that someone believes to be firing.
        policies: only these; None for all.
        series: at least those of these and of the references; None for all.
    """
    wanted = None if policies is None else frozenset(policies)
    some = _of_series(connection, series, references)
    reached, stale = _freshness(connection, now, wanted)
    fresh = frozenset(reached)
    firing = [
        row
        for row in _rows(
            connection, fresh, wanted, Alert.state == "firing", RESOLVED_BY_HAND.is_(None), *some
        )
        if reached[row.policy] is not None
    ]
    ended = _ended(connection, fresh, wanted, now - TOLD_LATE, some)
    flapping = _rows(
        connection, fresh, wanted, Alert.flapping_at > _EVER, Alert.calm_at.is_(None), *some
    )
    shown = {row.id: row for row in (*firing, *flapping)}
    standing = _standing(connection, fresh, {one.episode for one in references})
    lost = [one for one in references if one.episode not in standing and one.policy in fresh]
    heirs: list[Episode] = []
    if lost:
        heirs = _ended(
            connection,
            fresh,
            frozenset(one.policy for one in lost),
            min(one.since for one in lost),
            some,
        )
    return Present(
        fresh=fresh,
        reached={policy: at for policy, at in reached.items() if at is not None},
        firing={one.fingerprint: one for one in map(_episode, firing)},
        ended=_by_fingerprint(ended),
        standing=standing,
        heirs=_by_fingerprint(heirs),
        stale=stale,
        flapping=frozenset(one.fingerprint for one in map(_episode, flapping)),
        acknowledged=acknowledged_among(connection, list(shown.values())),
    )


def _of_series(
    connection: Connection, series: Collection[int] | None, references: Sequence[Reference]
) -> list[ColumnElement[bool]]:
    """The condition that an alert is of these series or of the references'; none for all."""
    if series is None or len(series) + len(references) > _MOST_SERIES:
        return []
    referred = select(Alert.series_id).where(Alert.id.in_([one.episode for one in references]))
    wanted = {*series, *(connection.scalars(referred) if references else ())}
    return [Alert.series_id.in_(sorted(wanted))]


def _freshness(
    connection: Connection, now: datetime, wanted: frozenset[str] | None
) -> tuple[dict[str, datetime | None], frozenset[str]]:
    """Known policies → event time that they have reached, None if removed; and the stale ones."""
    definitions = current_policies(connection, wanted)
    query = select(PolicyState.policy, PolicyState.watermark)
    if wanted is not None:
        query = query.where(PolicyState.policy.in_(sorted(wanted)))
    reached: dict[str, datetime | None] = {}
    stale = set()
    for row in connection.execute(query):
        if row.policy in definitions and definitions[row.policy] is None:
            reached[row.policy] = None
            continue
        policy = definitions.get(row.policy)
        good_for = _DEFAULT_PRESENT if policy is None else policy.present_for
        at = None if row.watermark is None else from_minute(row.watermark)
        if at is not None and now <= at + good_for:
            reached[row.policy] = at
        else:
            stale.add(row.policy)
    return reached, frozenset(stale)


def _ended(
    connection: Connection,
    fresh: frozenset[str],
    wanted: frozenset[str] | None,
    after: datetime,
    some: Sequence[ColumnElement[bool]],
) -> list[Episode]:
    """Episodes that ended after ``after``, oldest first."""
    # two queries: the first finds its rows by an index, the second among the few that fire
    recent = (Alert.state == "resolved", Alert.resolved_at > after)
    by_hand = (Alert.state == "firing", after < RESOLVED_BY_HAND)
    found = [
        *_episodes(connection, fresh, wanted, *recent, *some),
        *_episodes(connection, fresh, wanted, *by_hand, *some),
    ]
    return sorted(found, key=lambda one: (one.fired_at, one.id))


def _episodes(
    connection: Connection,
    fresh: frozenset[str],
    wanted: frozenset[str] | None,
    *conditions: ColumnElement[bool],
) -> list[Episode]:
    """Episodes of fresh policies that fired and hold, oldest first."""
    return [_episode(row) for row in _rows(connection, fresh, wanted, *conditions)]


def _rows(
    connection: Connection,
    fresh: frozenset[str],
    wanted: frozenset[str] | None,
    *conditions: ColumnElement[bool],
) -> list[Row[*tuple[Any, ...]]]:
    """The same, with what is needed to tell which acts are about them."""
    query = select(
        Alert.id,
        Alert.policy,
        Alert.series_id,
        Alert.labels,
        Alert.severity,
        Alert.annotations,
        Alert.active_at,
        Alert.fired_at,
        func.coalesce(Alert.resolved_at, RESOLVED_BY_HAND).label("resolved_at"),
    ).where(Alert.superseded_at.is_(None), Alert.fired_at.is_not(None), *conditions)
    if wanted is not None:
        query = query.where(Alert.policy.in_(sorted(wanted)))
    rows = connection.execute(query.order_by(Alert.fired_at, Alert.id))
    return [row for row in rows if row.policy in fresh]


def _standing(connection: Connection, fresh: frozenset[str], ids: set[str]) -> dict[str, Episode]:
    found: dict[str, Episode] = {}
    listed = sorted(ids)
    for at in range(0, len(listed), _BATCH):
        batch = Alert.id.in_(listed[at : at + _BATCH])
        found |= {one.id: one for one in _episodes(connection, fresh, None, batch)}
    return found


def _episode(row: Row[*tuple[Any, ...]]) -> Episode:
    labels = {**row.labels, "alertname": row.policy, "severity": row.severity}
    return Episode(
        id=row.id,
        policy=row.policy,
        labels=labels,
        annotations=row.annotations,
        fired_at=row.fired_at,
        resolved_at=row.resolved_at,
        fingerprint=fingerprint(labels),
        series_id=row.series_id,
    )


def _by_fingerprint(episodes: Iterable[Episode]) -> dict[str, list[Episode]]:
    found: dict[str, list[Episode]] = {}
    for one in episodes:
        found.setdefault(one.fingerprint, []).append(one)
    return found
