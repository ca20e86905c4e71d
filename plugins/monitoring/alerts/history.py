"""The alert history in userdb: fold evidence from the earliest change, and keep what still holds.

One transaction a policy, under its lock. The fold starts from the last checkpoint before the
change and stops where its state equals a stored checkpoint behind the change: so late data costs
what it changes. Transitions that no longer hold are superseded, never deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from monitoring.alerts.episodes import write_episodes
from monitoring.alerts.state import (
    FoldState,
    Transition,
    dump_state,
    end_all,
    episode_id,
    fold,
    load_state,
)
from monitoring.evidence import read_evidence
from monitoring.policy.versions import Segment, Version, read_versions, segments
from monitoring.scoring.classes import EvaluationClass, Interval, clip
from userdb.models import AlertTransition, Evaluation, PolicyState, Series
from userdb.store import Store
from userdb.times import from_minute, to_minute

#: Evaluated ranges that are folded per read of evidence: two days of five-minute windows.
_BATCH = 600


@dataclass(frozen=True)
class AlertReport:
    """What changed in the history: transitions by the state that they lead to."""

    pending: int = 0
    firing: int = 0
    resolved: int = 0
    superseded: int = 0
    errors: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Row:
    """An evaluated range (first, last] and the checkpoint at its end."""

    first: int
    last: int
    state: dict[str, Any] | None


def update_alerts(store: Store, *, now: datetime) -> AlertReport:
    """Fold what was scored since the last fold into the alert history.

    ``now`` is only recorded: which transitions there are depends on event time alone. A policy
    that fails is in the report's errors and is folded again next time.
    """
    with store.read() as connection:
        names = connection.scalars(
            select(PolicyState.policy)
            .where(PolicyState.fold_from.is_not(None))
            .order_by(PolicyState.policy)
        ).all()
    counts = {"pending": 0, "firing": 0, "resolved": 0, "superseded": 0}
    errors: dict[str, str] = {}
    for name in names:
        try:
            found = store.write(partial(_fold_policy, name=name, now=now))
        except Exception as error:  # one policy never stops the others
            errors[name] = f"{type(error).__name__}: {error}"
            continue
        for key, number in found.items():
            counts[key] += number
    return AlertReport(**counts, errors=errors)


def _fold_policy(connection: Connection, name: str, now: datetime) -> dict[str, int]:
    lock = connection.execute(
        select(PolicyState).where(PolicyState.policy == name).with_for_update()
    ).one()
    if lock.fold_from is None:
        return {}
    versions = read_versions(connection, name)
    after, states = _checkpoint(connection, name, lock.fold_from)
    begin = after
    transitions: list[Transition] = []
    done = False
    while not done:
        rows = _evaluated_after(connection, name, after)
        if not rows:
            break
        evidence = read_evidence(connection, name, after, rows[-1].last)
        checkpoints: list[dict[str, Any]] = []
        for row in rows:
            states, found = _fold_row(versions, states, evidence, after, row)
            transitions += found
            after = row.last
            state = dump_state(states)
            if state == row.state:
                done = row.last >= lock.fold_to
            else:
                checkpoints.append({"the_policy": name, "the_minute": row.last, "state": state})
            if done:
                break
        _write_checkpoints(connection, checkpoints)
    changes = _reconcile(connection, name, transitions, begin, after, versions, now)
    connection.execute(
        update(PolicyState).where(PolicyState.policy == name).values(fold_from=None, fold_to=None)
    )
    return changes


def _checkpoint(connection: Connection, name: str, fold_from: int) -> tuple[int, FoldState]:
    """The last evaluated range that ended by ``fold_from``: its end and the state there."""
    row = connection.execute(
        select(Evaluation.last_minute, Evaluation.state)
        .where(
            Evaluation.policy == name,
            Evaluation.last_minute <= fold_from,
            Evaluation.state.is_not(None),
        )
        .order_by(Evaluation.last_minute.desc())
        .limit(1)
    ).one_or_none()
    if row is not None:
        return row.last_minute, load_state(row.state)
    first = connection.scalar(
        select(Evaluation.first_minute)
        .where(Evaluation.policy == name)
        .order_by(Evaluation.last_minute)
        .limit(1)
    )
    return (fold_from if first is None else first), {}


def _evaluated_after(connection: Connection, name: str, after: int) -> list[_Row]:
    rows = connection.execute(
        select(Evaluation.first_minute, Evaluation.last_minute, Evaluation.state)
        .where(Evaluation.policy == name, Evaluation.last_minute > after)
        .order_by(Evaluation.last_minute)
        .limit(_BATCH)
    )
    return [_Row(row.first_minute, row.last_minute, row.state) for row in rows]


def _write_checkpoints(connection: Connection, checkpoints: Sequence[dict[str, Any]]) -> None:
    if checkpoints:
        connection.execute(
            update(Evaluation)
            .where(
                Evaluation.policy == bindparam("the_policy"),
                Evaluation.last_minute == bindparam("the_minute"),
            )
            .values(state=bindparam("state")),
            list(checkpoints),
        )


def _fold_row(
    versions: Sequence[Version],
    states: FoldState,
    evidence: Sequence[Interval],
    after: int,
    row: _Row,
) -> tuple[FoldState, list[Transition]]:
    """Fold (after, row.last]; what lies before row.first was not evaluated: unknown."""
    transitions: list[Transition] = []
    for part in segments(versions, after, row.last):
        if part.starts_at == part.after and _breaks_identity(versions, part.version):
            transitions += end_all(states, part.after + 1, "policy changed")
            states = {}
        policy = part.version.policy
        if policy is None:
            continue
        clipped = [
            piece
            for one in evidence
            if one.last > part.after
            and one.first <= part.until
            and (piece := clip(one, part.after, part.until, policy.interval)) is not None
        ]
        unknown = [
            (one.first, one.last)
            for one in clipped
            if one.evaluation_class is EvaluationClass.UNKNOWN
        ]
        unknown += _unevaluated(part, row.first, policy.interval)
        states, found = fold(policy, states, clipped, sorted(unknown), part.after, part.until)
        transitions += found
    return states, transitions


def _unevaluated(part: Segment, first: int, interval: int) -> Iterator[tuple[int, int]]:
    """Evaluation times of the segment up to ``first``, as a span."""
    low = (part.after // interval + 1) * interval
    high = min(first, part.until) // interval * interval
    if low <= high:
        yield low, high


def _breaks_identity(versions: Sequence[Version], version: Version) -> bool:
    index = versions.index(version)
    if index == 0:
        return False
    before = versions[index - 1].policy
    if before is None or version.policy is None:
        return True
    return before.identity != version.policy.identity


def _reconcile(
    connection: Connection,
    name: str,
    transitions: Sequence[Transition],
    after: int,
    until: int,
    versions: Sequence[Version],
    now: datetime,
) -> dict[str, int]:
    """Make ``transitions`` the current ones of the times in (after, until]."""
    marks = _fingerprints(connection, {one.series for one in transitions})
    wanted = {
        (episode_id(name, marks[one.series], one.active), one.at, one.from_state, one.to_state): one
        for one in transitions
    }
    rows = connection.execute(
        select(AlertTransition).where(
            AlertTransition.policy == name,
            AlertTransition.superseded_at.is_(None),
            AlertTransition.at > from_minute(after),
            AlertTransition.at <= from_minute(until),
        )
    )
    stale: list[int] = []
    affected: set[str] = set()
    for row in rows:
        key = (row.alert_id, to_minute(row.at), row.from_state, row.to_state)
        held = wanted.get(key)
        if held is not None and held.value == row.value and held.reason == row.reason:
            del wanted[key]
        else:
            stale.append(row.id)
            affected.add(row.alert_id)
    if stale:
        connection.execute(
            update(AlertTransition)
            .where(AlertTransition.id == bindparam("stale"))
            .values(superseded_at=now),
            [{"stale": one} for one in stale],
        )
    new = [
        {
            "alert_id": key[0],
            "policy": name,
            "series_id": one.series,
            "at": from_minute(one.at),
            "from_state": one.from_state,
            "to_state": one.to_state,
            "value": one.value,
            "reason": one.reason,
            "recorded_at": now,
            "superseded_at": None,
        }
        for key, one in wanted.items()
    ]
    if new:
        connection.execute(insert(AlertTransition), new)
        affected.update(key[0] for key in wanted)
    write_episodes(connection, name, affected, versions, now)
    return {
        "pending": sum(row["to_state"] == "pending" for row in new),
        "firing": sum(row["to_state"] == "firing" for row in new),
        "resolved": sum(row["to_state"] == "resolved" for row in new),
        "superseded": len(stale),
    }


def _fingerprints(connection: Connection, series: set[int]) -> dict[int, str]:
    rows = connection.execute(
        select(Series.id, Series.fingerprint).where(Series.id.in_(sorted(series)))
    )
    return {row.id: row.fingerprint for row in rows}
