"""The alert history in userdb: fold evidence from the earliest change, and keep what still holds.

One transaction a policy, under its lock. The fold starts from the last checkpoint before the
change and stops where its state equals a stored checkpoint behind the change: so late data costs
what it changes. Transitions that no longer hold are superseded, never deleted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from monitoring.alerts.acts import read_resolutions
from monitoring.alerts.episodes import write_episodes
from monitoring.alerts.folding import fold_ranges, read_checkpoint, read_evaluated
from monitoring.alerts.operands import in_order, score_operands, tell_composites
from monitoring.alerts.series_state import dump_state
from monitoring.alerts.transition import Transition, episode_id
from monitoring.evidence import read_evidence
from monitoring.log_context import bound
from monitoring.policy.composite import CompositePolicy
from monitoring.policy.groups import Shard, operands
from monitoring.policy.state import lock_policy
from monitoring.policy.versions import Timeline, current_policies, read_timeline
from userdb.models import Alert, AlertTransition, Evaluation, PolicyState, Series
from userdb.store import Store
from userdb.times import from_minute, to_minute

log = logging.getLogger(__name__)


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


def update_alerts(store: Store, *, now: datetime, shard: Shard | None = None) -> AlertReport:
    """Fold what was scored since the last fold into the alert history.

    Composites come after the policies that they combine, and are scored here: what they look at
    is these policies' states. ``now`` is only recorded: which transitions there are depends on
    event time alone. A policy that fails is in the report's errors and is folded again next time.

    Args:
        shard: fold this part of the policies only, as others fold the rest.
    """
    with store.read() as connection:
        definitions = current_policies(connection)
        waiting = set(
            connection.scalars(
                select(PolicyState.policy).where(
                    or_(PolicyState.fold_from.is_not(None), PolicyState.operands_from.is_not(None))
                )
            )
        )
    composites = [one for one in definitions.values() if isinstance(one, CompositePolicy)]
    waiting |= {one.name for one in composites}
    if shard is not None:
        waiting &= shard.policies(operands(definitions))
    counts: Counter[str] = Counter()
    errors: dict[str, str] = {}
    for name in in_order(definitions):
        if name not in waiting:
            continue
        work = partial(_fold_policy, name=name, composites=composites, now=now)
        with bound(policy=name):
            try:
                changed = store.write(work)
            except Exception as error:  # one policy never stops the others
                log.exception("the alerts of %s could not be updated", name)
                errors[name] = f"{type(error).__name__}: {error}"
                continue
            if changed:
                log.info("alerts of %s: %s", name, dict(changed))
            counts += changed
    with bound(**counts):
        log.info("alerts are up to date")
    return AlertReport(**counts, errors=errors)


def _fold_policy(
    connection: Connection, name: str, composites: Sequence[CompositePolicy], now: datetime
) -> Counter[str]:
    lock = lock_policy(connection, name)
    timeline = read_timeline(connection, name)
    if lock.operands_from is not None:
        score_operands(connection, name, timeline)
        lock = lock_policy(connection, name)
    if lock.fold_from is None:
        return Counter()
    after, states = read_checkpoint(connection, name, lock.fold_from)
    acts = read_resolutions(connection, name)
    changes: Counter[str] = Counter()
    affected: set[str] = set()
    done = False
    while not done and (ranges := read_evaluated(connection, name, after)):
        evidence = read_evidence(connection, name, after, ranges[-1].last)
        begin = after
        transitions: list[Transition] = []
        checkpoints: list[dict[str, Any]] = []
        for one, end, found in fold_ranges(timeline, states, after, ranges, evidence, acts):
            transitions += found
            states, after = end, one.last
            state = dump_state(states)
            if state != one.state:
                checkpoints.append({"the_policy": name, "the_minute": one.last, "state": state})
            elif one.last >= lock.fold_to:
                done = True
                break
        _write_checkpoints(connection, checkpoints)
        changes += _reconcile(connection, name, transitions, begin, after, affected, now)
        affected |= _of_another_version(connection, name, timeline, begin, after)
    # last, as an episode may reach over many batches
    write_episodes(connection, name, affected, timeline, now)
    tell_composites(connection, name, composites, lock.fold_from, after)
    connection.execute(
        update(PolicyState).where(PolicyState.policy == name).values(fold_from=None, fold_to=None)
    )
    return changes


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


def _reconcile(
    connection: Connection,
    name: str,
    transitions: Sequence[Transition],
    after: int,
    until: int,
    affected: set[str],
    now: datetime,
) -> Counter[str]:
    """Make ``transitions`` the current ones of the times in (after, until].

    Ids of the episodes that this changes are added to ``affected``.

    Returns:
        New transitions by the state that they lead to, and the superseded ones.
    """
    marks = _fingerprints(connection, {one.series for one in transitions})
    wanted = {
        (
            episode_id(name, marks[one.series], one.active),
            one.at,
            one.from_state,
            one.to_state,
        ): one
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
    return Counter(
        {
            **{
                state: sum(row["to_state"] == state != row["from_state"] for row in new)
                for state in ("pending", "firing", "resolved")
            },
            "superseded": len(stale),
        }
    )


def _of_another_version(
    connection: Connection, name: str, timeline: Timeline, after: int, until: int
) -> set[str]:
    """Episodes begun in (after, until] whose row was made from a version that doesn't rule there:
    a replay may change severity and texts, and no transition."""
    rows = connection.execute(
        select(Alert.id, Alert.active_at, Alert.policy_version).where(
            Alert.policy == name,
            Alert.superseded_at.is_(None),
            Alert.active_at > from_minute(after),
            Alert.active_at <= from_minute(until),
        )
    )
    return {
        row.id for row in rows if timeline.at(to_minute(row.active_at)).number != row.policy_version
    }


def _fingerprints(connection: Connection, series: set[int]) -> dict[int, str]:
    rows = connection.execute(
        select(Series.id, Series.fingerprint).where(Series.id.in_(sorted(series)))
    )
    return {row.id: row.fingerprint for row in rows}
