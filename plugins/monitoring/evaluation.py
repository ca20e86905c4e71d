"""Score policies over a window and keep the evidence.

For each policy one transaction under its lock reads its dirty tokens, then facts, writes
evidence, and deletes exactly the tokens that it read: what changes meanwhile leaves a token of its
own. What is stored is a function of facts, coverage and versions alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from monitoring.evidence import replace_evidence
from monitoring.facts import UserdbFacts
from monitoring.policy.definition import Policy
from monitoring.policy.loader import Policies
from monitoring.policy.versions import Version, read_versions, register_policies, segments
from monitoring.scoring.classes import EvaluationClass, intervals
from monitoring.scoring.registry import score
from monitoring.window import Window, refuse_future
from userdb.models import Dirty, Evaluation, PolicyState
from userdb.series import fingerprint, intern_series
from userdb.store import Store

DAY = 24 * 60


@dataclass(frozen=True)
class ScoreReport:
    """What scoring did. ``errors`` maps a policy, or a policy file, to what is wrong with it."""

    policies: int = 0
    evaluations: int = 0
    series: int = 0
    breaching: int = 0
    unknown: int = 0
    errors: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Scored:
    evaluations: int = 0
    series: int = 0
    breaching: int = 0
    unknown: int = 0

    def plus(self, other: _Scored) -> _Scored:
        return _Scored(
            self.evaluations + other.evaluations,
            max(self.series, other.series),
            max(self.breaching, other.breaching),
            self.unknown + other.unknown,
        )


def score_policies(
    window: Window,
    store: Store,
    *,
    now: datetime,
    register: bool = True,
    loaded: Policies,
) -> ScoreReport:
    """Evaluate every policy at each of its times in (window.start, window.end], and again where
    facts changed since it was evaluated.

    Args:
        register: store changed and removed policies as versions that begin ``now``; a
            backfill does not.
        loaded: the policies; what is wrong with some is repeated in the report's errors.

    Raises:
        WindowError: the window ends after ``now``.
    """
    refuse_future(window, now)
    errors = {f"policy error {number}": str(e) for number, e in enumerate(loaded.errors, 1)}
    work = partial(register_policies, loaded=loaded, now=now, edits=register)
    try:
        store.write(work)
    except IntegrityError:
        store.write(work)  # another run stored the same versions meanwhile: now they are known
    with store.read() as connection:
        names = connection.scalars(select(PolicyState.policy).order_by(PolicyState.policy)).all()
    scored: list[_Scored] = []
    for name in names:
        try:
            scored.append(_score_policy(name, window, store))
        except Exception as error:  # one policy never stops the others
            errors[name] = f"{type(error).__name__}: {error}"
    return ScoreReport(
        policies=len(scored),
        evaluations=sum(one.evaluations for one in scored),
        series=sum(one.series for one in scored),
        breaching=sum(one.breaching for one in scored),
        unknown=sum(one.unknown for one in scored),
        errors=errors,
    )


def _score_policy(name: str, window: Window, store: Store) -> _Scored:
    def work(connection: Connection) -> _Scored:
        state = connection.execute(
            select(PolicyState).where(PolicyState.policy == name).with_for_update()
        ).one()
        tokens = connection.execute(select(Dirty).where(Dirty.policy == name)).all()
        versions = read_versions(connection, name)
        asked = (window.first_minute, window.stop_minute)
        ranges = [asked]
        for token in tokens:
            ranges += _affected(connection, name, versions, token.first_minute, token.last_minute)
        total = _Scored()
        touched: list[int] = []
        for low, high in _join(ranges):
            for part in segments(versions, low, high):
                if part.version.policy is not None:
                    for after, until in _days(part.after, part.until):
                        bounds = (part.starts_at, _end(versions, part.version))
                        total = total.plus(
                            _score_range(
                                store, connection, part.version.policy, after, until, bounds
                            )
                        )
            touched += (low, high)
        _extend_ledger(connection, name, *asked)
        connection.execute(delete(Dirty).where(Dirty.token.in_([token.token for token in tokens])))
        low, high = min(touched), max(touched)
        connection.execute(
            update(PolicyState)
            .where(PolicyState.policy == name)
            .values(
                watermark=max(window.stop_minute, state.watermark or window.stop_minute),
                fold_from=low if state.fold_from is None else min(low, state.fold_from),
                fold_to=high if state.fold_to is None else max(high, state.fold_to),
            )
        )
        return total

    return store.write(work)


def _end(versions: Sequence[Version], version: Version) -> int | None:
    later = [other.effective for other in versions if other.number > version.number]
    return min(later) if later else None


def _affected(
    connection: Connection, name: str, versions: Sequence[Version], first: int, last: int
) -> list[tuple[int, int]]:
    """Evaluated ranges (after, until] whose classes depend on the minutes first to last."""
    reach = max(
        (
            max(version.policy.lookback_minutes, version.policy.memory_minutes)
            + version.policy.lookback_minutes
            + version.policy.interval
            for version in versions
            if version.policy is not None
        ),
        default=0,
    )
    after, until = first, last + 1 + reach
    rows = connection.execute(
        select(Evaluation.first_minute, Evaluation.last_minute).where(
            Evaluation.policy == name,
            Evaluation.last_minute > after,
            Evaluation.first_minute < until,
        )
    )
    return [(max(row.first_minute, after), min(row.last_minute, until)) for row in rows]


def _join(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping and touching ranges as one, ascending."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined


def _days(after: int, until: int) -> Iterator[tuple[int, int]]:
    """Split (after, until] at midnights UTC: bounds memory, and the length of stored intervals."""
    while after < until:
        end = min((after // DAY + 1) * DAY, until)
        yield after, end
        after = end


def _score_range(
    store: Store,
    connection: Connection,
    policy: Policy,
    after: int,
    until: int,
    bounds: tuple[int, int | None],
) -> _Scored:
    step = policy.interval
    times = np.arange((after // step + 1) * step, until + 1, step, dtype=np.int64)
    if not len(times):
        return _Scored()
    scores = score(policy, UserdbFacts(store, connection), times)
    labels = [dict(zip(policy.group_labels, group, strict=True)) for group in scores.groups]
    used = np.flatnonzero(scores.classes.any(axis=0)).tolist()
    ids = intern_series(connection, "group", (labels[column] for column in used))
    series = [0] * len(labels)
    for column in used:
        series[column] = ids[fingerprint(labels[column])]
    replace_evidence(connection, policy, intervals(scores, series), after, until, bounds)
    last = scores.classes[-1] == EvaluationClass.BREACH
    return _Scored(
        evaluations=len(times),
        series=len(labels),
        breaching=int(last.sum()),
        unknown=int(scores.unknown.sum()),
    )


def _extend_ledger(connection: Connection, name: str, after: int, until: int) -> None:
    """Add (after, until] to the evaluated ranges, in rows that end at midnights at the latest.

    Ranges that are there already stay as they are, with their checkpoints.
    """
    rows = connection.execute(
        select(Evaluation.first_minute, Evaluation.last_minute)
        .where(
            Evaluation.policy == name,
            Evaluation.last_minute > after,
            Evaluation.first_minute < until,
        )
        .order_by(Evaluation.last_minute)
    ).all()
    missing: list[tuple[int, int]] = []
    at = after
    for row in rows:
        if at < row.first_minute:
            missing.append((at, row.first_minute))
        at = max(at, row.last_minute)
    if at < until:
        missing.append((at, until))
    new = [
        {"policy": name, "first_minute": low, "last_minute": high, "state": None}
        for gap in missing
        for low, high in _days(*gap)
    ]
    if new:
        connection.execute(insert(Evaluation), new)
