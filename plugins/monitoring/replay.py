"""Recompute a range of history from what userdb holds: a month of windows as one.

Facts are read once for all policies of a family, a chunk of the range at a time, and scored
outside of any transaction. Each policy's evidence is then stored under its lock, if nobody scored
it since the facts were read; else it is scored again there. Dirty tokens stay: what changed
meanwhile is scored by the step that takes them, last here or in the next run of the chain.

Memory: the facts of two chunks, ``BUDGET`` bytes in all, as the next is read while one is scored
and stored; and several times that while they are read. A chunk is a day at least, and as long as
the longest lookback. A fold holds a week of a policy. So the peak doesn't grow with the range,
but for the list of changes; benchmarks/replay.py shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from threading import Lock

from sqlalchemy import Connection, func, insert, or_, select

from monitoring.alerts.changes import EpisodeChange, episode_changes
from monitoring.alerts.history import update_alerts
from monitoring.evaluated import (
    Scored,
    ScoredRange,
    days,
    extend_ledger,
    score_range,
    store_ranges,
)
from monitoring.evaluation import register_versions, score_dirty
from monitoring.facts import UserdbFacts, load_minutes
from monitoring.notify.episode import TOLD_LATE
from monitoring.policy.loader import Policies
from monitoring.policy.signal_policy import SeriesPolicy
from monitoring.policy.state import lock_policy, mark_scored
from monitoring.policy.versions import Timeline, read_timeline
from monitoring.retention import refuse_frozen, refused_replays
from monitoring.scoring.classes import DAY
from monitoring.scoring.facts import Facts, Selection
from monitoring.scoring.matrix import SignalMatrix
from monitoring.scoring.minutes import FamilyMinutes
from monitoring.window import Window, refuse_future
from userdb.errors import PolicyError, WindowError
from userdb.models import Alert, PolicyState, Series, VersionOverride
from userdb.retention import read_floors
from userdb.store import Store

#: Bytes of facts that are held at once.
BUDGET = 64 * 1024 * 1024

#: Called with steps done, steps in all, and what was just done.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ReplayReport:
    """What a replay did.

    Attributes:
        policies: how many were scored.
        evaluations: evaluation times, summed over policies.
        pairs: evaluations of a series, summed.
        changes: what it changed in the alert history, oldest first.
        present_changed: whether an alert that fires now, or ended within the last hour, is among
            what changed.
        errors: policy, or policy file, to what is wrong with it.
    """

    policies: int = 0
    evaluations: int = 0
    pairs: int = 0
    changes: tuple[EpisodeChange, ...] = ()
    present_changed: bool = False
    errors: dict[str, str] = field(default_factory=dict)


def replay(
    store: Store,
    window: Window,
    *,
    now: datetime,
    loaded: Policies,
    only: Collection[str] | None = None,
    todays: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
    budget: int = BUDGET,
) -> ReplayReport:
    """Score and fold ``window`` again, at every evaluation time in (window.start, window.end].

    Policies that userdb doesn't know yet are registered; edits are not, unless ``todays``.

    Args:
        now: when the change is recorded; the window may not end after it.
        only: names of policies; None for all.
        todays: score by today's definitions instead of those that were in force; later folds of
            these times keep to that.
        workers: threads that score.
        budget: bytes of facts that are held at once.

    Raises:
        WindowError: the window ends after ``now``, or all policies look back from it past the
            retention floor. Where only some do, they are among the report's errors.
        PolicyError: a name in ``only`` that no policy has.
    """
    refuse_future(window, now)
    errors = {f"policy error {number}": str(e) for number, e in enumerate(loaded.errors, 1)}
    register_versions(store, loaded, now=now, edits=todays)
    names = _chosen(store, only)
    refused = refused_replays(store, names, window, todays=todays)
    names = [name for name in names if name not in refused]
    errors |= refused
    if todays:
        store.write(partial(_override, names=names, window=window, now=now))
    before = _present(store, names, now)
    chunks = _plan(store, names, window, budget // 2)
    done, total, pairs = 0, Scored(), 0
    with (
        ThreadPoolExecutor(max(workers, 1), thread_name_prefix="replay") as pool,
        ThreadPoolExecutor(1, thread_name_prefix="replay-read") as reader,
    ):
        loading = [reader.submit(chunk.load, store) for chunk in chunks[:1]]
        for number, chunk in enumerate(chunks, 1):
            facts = loading.pop().result()
            loading += [reader.submit(one.load, store) for one in chunks[number : number + 1]]
            scored = pool.map(partial(chunk.score, facts), names)
            for name, found in zip(names, scored, strict=True):
                done += 1
                if isinstance(found, Exception):
                    errors[name] = f"{type(found).__name__}: {found}"
                    continue
                try:
                    total = total.plus(chunk.store(store, name, found))
                except WindowError as error:  # minutes were purged since they were read
                    errors[name] = str(error)
                    continue
                pairs += sum(one.scores.classes.size for one in found)
                if progress is not None:
                    progress(done, len(names) * len(chunks), f"{name} {chunk.window}")
    for name in names:
        try:
            score_dirty(name, store)
        except Exception as error:  # one policy never stops the others
            errors[name] = f"{type(error).__name__}: {error}"
    errors |= update_alerts(store, now=now).errors
    with store.read() as connection:
        changes = episode_changes(connection, names, now)
    return ReplayReport(
        policies=len(set(names) - set(errors)),
        evaluations=total.evaluations,
        pairs=pairs,
        changes=tuple(changes),
        present_changed=_present(store, names, now) != before,
        errors=errors,
    )


class _ChunkFacts:
    """The minutes of every family that a chunk needs."""

    def __init__(self, families: Mapping[str, FamilyMinutes]) -> None:
        self._families = families

    def matrix(self, selection: Selection, first: int, stop: int, memory: int = 0) -> SignalMatrix:
        """See ``monitoring.scoring.facts.Facts``."""
        return self._families[selection.family.name].matrix(selection, first, stop, memory)


@dataclass(frozen=True)
class _Own:
    """How often this replay itself scored each policy; ``lock`` keeps that and userdb in step."""

    scored: Counter[str] = field(default_factory=Counter)
    lock: Lock = field(default_factory=Lock)


@dataclass(frozen=True)
class _Chunk:
    """A part of the range, and how often others had scored each policy before its facts were
    read."""

    window: Window
    timelines: Mapping[str, Timeline]
    own: _Own
    others: dict[str, int] = field(default_factory=dict)

    @property
    def after(self) -> int:
        return self.window.first_minute

    @property
    def until(self) -> int:
        return self.window.stop_minute

    def load(self, store: Store) -> _ChunkFacts:
        """Read the facts, and before them how often others scored each policy."""
        policies = _ruling(self.timelines.values(), self.after, self.until)
        families: dict[str, FamilyMinutes] = {}
        with self.own.lock, store.read() as connection:
            rows = connection.execute(select(PolicyState.policy, PolicyState.generation))
            self.others.update(
                (row.policy, row.generation - self.own.scored[row.policy]) for row in rows
            )
        with store.read() as connection:
            for family in sorted({policy.family.name for policy in policies}):
                own = [policy for policy in policies if policy.family.name == family]
                reach = max(policy.lookback_minutes + policy.interval for policy in own)
                families[family] = load_minutes(
                    store,
                    connection,
                    [Selection.of(policy) for policy in own],
                    self.after - reach,
                    self.until,
                    max(policy.memory_minutes for policy in own),
                )
        return _ChunkFacts(families)

    def score(self, facts: Facts, name: str) -> list[ScoredRange] | Exception:
        """The scores of a policy, or what stopped it."""
        try:
            length = self.until - self.after
            return list(
                score_range(
                    facts,
                    self.timelines[name],
                    self.after,
                    self.until,
                    longest=(length // DAY + 2) * DAY,
                )
            )
        except Exception as error:  # one policy never stops the others
            return error

    def store(self, store: Store, name: str, found: Iterable[ScoredRange]) -> Scored:
        """Store a policy's scores, unless another run scored it since the facts were read: then
        score it again, with what is known now.

        Raises:
            WindowError: facts that it looks at were purged meanwhile. Nothing is stored.
        """
        with self.own.lock:
            scored = store.write(partial(self._store, store=store, name=name, found=found))
            self.own.scored[name] += 1
        return scored

    def _store(
        self, connection: Connection, store: Store, name: str, found: Iterable[ScoredRange]
    ) -> Scored:
        state = lock_policy(connection, name)
        timeline = self.timelines[name]
        if state.generation - self.own.scored[name] != self.others[name]:
            timeline = read_timeline(connection, name)
            found = score_range(UserdbFacts(store, connection), timeline, self.after, self.until)
        scored = store_ranges(connection, timeline, self.after, self.until, found)
        extend_ledger(connection, name, self.after, self.until)
        mark_scored(connection, state, self.after, self.until, watermark=self.until)
        refuse_frozen(name, timeline, read_floors(connection), self.after, self.until)
        return scored


def _plan(store: Store, names: Sequence[str], window: Window, budget: int) -> list[_Chunk]:
    """Cut the window into chunks, at midnights, whose facts fit the budget."""
    with store.read() as connection:
        timelines = {name: read_timeline(connection, name) for name in names}
        series: dict[str, int] = {
            row[0]: row[1]
            for row in connection.execute(
                select(Series.family, func.count())
                .where(
                    Series.first_minute < window.stop_minute,
                    Series.last_minute >= window.first_minute,
                )
                .group_by(Series.family)
            )
        }
    policies = _ruling(timelines.values(), window.first_minute, window.stop_minute)
    columns: dict[str, set[str]] = {}
    for policy in policies:
        columns.setdefault(policy.family.name, set()).update(Selection.of(policy).columns)
    a_day = DAY * sum(8 * len(names) * series.get(family, 0) for family, names in columns.items())
    lookback = max((policy.lookback_minutes for policy in policies), default=0)
    length = DAY * max(budget // max(a_day, 1), -(-lookback // DAY), 1)
    own = _Own()
    return [
        _Chunk(Window.of_minutes(low, high), timelines, own)
        for low, high in days(window.first_minute, window.stop_minute, length)
    ]


def _ruling(timelines: Iterable[Timeline], after: int, until: int) -> list[SeriesPolicy]:
    """The definitions over signals that rule any evaluation time in (after, until]."""
    return [
        part.version.policy
        for timeline in timelines
        for part in timeline.segments(after, until)
        if isinstance(part.version.policy, SeriesPolicy)
    ]


def _chosen(store: Store, only: Collection[str] | None) -> list[str]:
    with store.read() as connection:
        names = connection.scalars(select(PolicyState.policy).order_by(PolicyState.policy)).all()
    if only is None:
        return list(names)
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise PolicyError(
            f"there is no policy {', '.join(unknown)}; there are {', '.join(names) or 'none'}"
        )
    return sorted(set(only))


def _override(connection: Connection, names: Sequence[str], window: Window, now: datetime) -> None:
    """Let today's definitions rule the window."""
    for name in names:
        lock_policy(connection, name)
        newest = read_timeline(connection, name).versions[-1]
        connection.execute(
            insert(VersionOverride).values(
                policy=name,
                first_minute=window.first_minute,
                last_minute=window.stop_minute,
                version=newest.number,
                recorded_at=now,
            )
        )


def _present(store: Store, names: Sequence[str], now: datetime) -> set[tuple[str, str]]:
    """The episodes that receivers may have to be told of now, with their states."""
    with store.read() as connection:
        rows = connection.execute(
            select(Alert.id, Alert.state).where(
                Alert.policy.in_(names),
                Alert.superseded_at.is_(None),
                Alert.fired_at.is_not(None),
                or_(Alert.resolved_at.is_(None), Alert.resolved_at > now - TOLD_LATE),
            )
        )
        return {(row.id, row.state) for row in rows}
