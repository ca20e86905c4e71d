"""Score policies over a window and keep the evidence.

For each policy one transaction under its lock reads its dirty tokens, then facts, writes
evidence, and deletes exactly the tokens that it read: what changes meanwhile leaves a token of its
own. What is stored is a function of facts, coverage and versions alone.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, select

from monitoring.evaluated import (
    Scored,
    affected,
    extend_ledger,
    join,
    score_range,
    store_ranges,
)
from monitoring.facts import UserdbFacts
from monitoring.log_context import bound
from monitoring.policy.groups import Shard, operands
from monitoring.policy.loader import Policies
from monitoring.policy.state import lock_policy, mark_scored
from monitoring.policy.versions import current_policies, read_timeline, register_policies
from monitoring.retention import frozen_parts, without
from monitoring.window import Window, refuse_future
from userdb.models import Dirty, PolicyState
from userdb.retention import read_floors
from userdb.store import Store

log = logging.getLogger(__name__)

#: Dirty tokens deleted by one statement: SQLite takes 32,766 variables at most.
_TOKENS = 5000
#: What of a report is told with its line.
_COUNTS = ("policies", "evaluations", "series", "breaching", "unknown")


@dataclass(frozen=True)
class ScoreReport:
    """What scoring did.

    ``frozen`` maps a policy to how many of its evaluations were left as they are, because they look
    back past the retention floor; ``errors`` maps a policy, or a policy file, to what is wrong with
    it.
    """

    policies: int = 0
    evaluations: int = 0
    series: int = 0
    breaching: int = 0
    unknown: int = 0
    frozen: dict[str, int] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def score_policies(
    window: Window,
    store: Store,
    *,
    now: datetime,
    register: bool = True,
    loaded: Policies,
    shard: Shard | None = None,
) -> ScoreReport:
    """Evaluate every policy at each of its times in (window.start, window.end], and again where
    facts changed since it was evaluated.

    Args:
        register: store changed and removed policies as versions that begin ``now``; a
            backfill does not.
        loaded: the policies; what is wrong with some is repeated in the report's errors.
        shard: evaluate this part of the policies only, as others evaluate the rest. All of them
            are registered, and the first part's report has the errors of what was loaded.

    Raises:
        WindowError: the window ends after ``now``.
    """
    refuse_future(window, now)
    first = shard is None or shard.number == 0
    told = loaded.errors if first else ()
    errors = {f"policy error {number}": str(e) for number, e in enumerate(told, 1)}
    register_versions(store, loaded, now=now, edits=register)
    with store.read() as connection:
        names = connection.scalars(select(PolicyState.policy).order_by(PolicyState.policy)).all()
        if shard is not None:
            mine = shard.policies(operands(current_policies(connection)))
            names = [name for name in names if name in mine]
    scored: dict[str, Scored] = {}
    for name in names:
        with bound(policy=name):
            try:
                scored[name] = _score_policy(name, window, store)
            except Exception as error:  # one policy never stops the others
                log.exception("policy %s could not be scored", name)
                errors[name] = f"{type(error).__name__}: {error}"
    report = ScoreReport(
        policies=len(scored),
        evaluations=sum(one.evaluations for one in scored.values()),
        series=sum(one.series for one in scored.values()),
        breaching=sum(one.breaching for one in scored.values()),
        unknown=sum(one.unknown for one in scored.values()),
        frozen={name: one.frozen for name, one in scored.items() if one.frozen},
        errors=errors,
    )
    with bound(**{name: value for name, value in report.as_dict().items() if name in _COUNTS}):
        log.info("scored %d policies over %s", report.policies, window)
    if report.frozen:
        log.warning(
            "evaluations that look back past the retention floor were left as they are: %s",
            report.frozen,
        )
    return report


def register_versions(store: Store, loaded: Policies, *, now: datetime, edits: bool) -> None:
    """Store what userdb doesn't know yet of the loaded policies: see ``register_policies``."""
    store.write(partial(register_policies, loaded=loaded, now=now, edits=edits))


def score_dirty(name: str, store: Store) -> None:
    """Score a policy again where facts changed since it was evaluated, and nowhere else."""
    with store.read() as connection:
        if connection.scalar(select(Dirty.token).where(Dirty.policy == name).limit(1)) is None:
            return
    _score_policy(name, None, store)


class _FloorMoved(Exception):
    """Minutes were purged while they were read."""


def _score_policy(name: str, window: Window | None, store: Store) -> Scored:
    """Score a policy over ``window``, and where facts changed; not what is frozen."""

    def work(connection: Connection) -> Scored:
        state = lock_policy(connection, name)
        tokens = connection.execute(select(Dirty).where(Dirty.policy == name)).all()
        timeline = read_timeline(connection, name)
        ranges = [] if window is None else [(window.first_minute, window.stop_minute)]
        for first, stop in join([(one.first_minute, one.last_minute + 1) for one in tokens]):
            ranges += affected(connection, name, timeline, first, stop - 1)
        facts = UserdbFacts(store, connection)
        floors = read_floors(connection)
        total = Scored()
        done: list[tuple[int, int]] = []
        for after, until in join(ranges):
            frozen = frozen_parts(timeline, floors, after, until)
            total = total.plus(Scored(frozen=sum(part.evaluations for part in frozen)))
            for low, high in without(frozen, after, until):
                scored = score_range(facts, timeline, low, high)
                total = total.plus(store_ranges(connection, timeline, low, high, scored))
                done.append((low, high))
        watermark = None
        if window is not None:
            after, until = window.first_minute, window.stop_minute
            frozen = frozen_parts(timeline, floors, after, until)
            for low, watermark in without(frozen, after, until):
                extend_ledger(connection, name, low, watermark)
        for at in range(0, len(tokens), _TOKENS):
            taken = [one.token for one in tokens[at : at + _TOKENS]]
            connection.execute(delete(Dirty).where(Dirty.token.in_(taken)))
        if done:
            mark_scored(connection, state, done[0][0], done[-1][1], watermark=watermark)
        if read_floors(connection) != floors:
            raise _FloorMoved
        return total

    while True:
        with suppress(_FloorMoved):
            return store.write(work)
