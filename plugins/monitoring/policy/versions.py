"""The versions that policies have had, and which was in force when."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, or_, select, update

from monitoring.policy.definition import Policy
from monitoring.policy.kinds import parse_policy, stored_form
from monitoring.policy.loader import Policies
from monitoring.policy.state import lock_policy
from userdb.models import PolicyState, PolicyVersion, VersionOverride
from userdb.registration_lock import take_registration_lock
from userdb.times import to_minute

#: A minute before all others: the first version rules all times before it too.
_ALWAYS = -(2**40)
_FOREVER = 2**40


@dataclass(frozen=True)
class Version:
    """A definition, or None where the policy was removed; in force for evaluation times after
    ``effective`` (minutes), until the next version's."""

    number: int
    effective: int
    policy: Policy | None


@dataclass(frozen=True)
class Segment:
    """Evaluation times in (after, until] that one version rules.

    It began to rule at ``starts``, taking over from ``before`` (None: it rules from the
    beginning), and rules until ``ends`` (None: to this day).
    """

    after: int
    until: int
    version: Version
    starts: int
    ends: int | None
    before: Version | None

    @property
    def breaks_identity(self) -> bool:
        """Whether the series of the version before end here: other series, or no policy."""
        if self.before is None or self.starts != self.after:
            return False
        old, new = self.before.policy, self.version.policy
        return old is None or new is None or old.identity != new.identity


class Timeline:
    """Which version of a policy rules when: the versions, and what replays asked for instead.

    Args:
        versions: oldest first; the first rules all times before it too.
        overrides: (after, until, version number) of evaluation times, oldest first; later ones
            win.
    """

    def __init__(
        self, versions: Sequence[Version], overrides: Sequence[tuple[int, int, int]] = ()
    ) -> None:
        self.versions = tuple(versions)
        starts = {_ALWAYS, *(one.effective for one in self.versions[1:])}
        for after, until, _ in overrides:
            starts |= {after, until}
        self._spans: list[tuple[int, Version]] = []
        for start in sorted(starts):
            version = self._ruling(start, overrides)
            if not self._spans or self._spans[-1][1] is not version:
                self._spans.append((start, version))

    def _ruling(self, start: int, overrides: Sequence[tuple[int, int, int]]) -> Version:
        """What rules the first evaluation time after ``start``."""
        for after, until, number in reversed(overrides):
            if after <= start < until:
                return next(one for one in self.versions if one.number == number)
        ruling = [one for one in self.versions[1:] if one.effective <= start]
        return ruling[-1] if ruling else self.versions[0]

    @property
    def policies(self) -> list[Policy]:
        """Every definition that it has had."""
        return [one.policy for one in self.versions if one.policy is not None]

    def at(self, minute: int) -> Version:
        """The version that rules the evaluation time ``minute``."""
        return next(iter(self.segments(minute - 1, minute))).version

    def first_evaluation(self, minute: int) -> int | None:
        """The first evaluation time at or after ``minute``; None where the policy has none left."""
        for part in self.segments(minute - 1, _FOREVER):
            if part.version.policy is not None:
                interval = part.version.policy.interval
                at = -(-max(minute, part.after + 1) // interval) * interval
                if at <= part.until:
                    return at
        return None

    def segments(self, after: int, until: int) -> Iterator[Segment]:
        """Split (after, until] by the version that rules."""
        for index, (starts, version) in enumerate(self._spans):
            last = index + 1 == len(self._spans)
            ends = None if last else self._spans[index + 1][0]
            low, high = max(after, starts), until if ends is None else min(until, ends)
            if low < high:
                before = self._spans[index - 1][1] if index else None
                yield Segment(low, high, version, starts, ends, before)


def read_timeline(
    connection: Connection, policy: str, *, as_of: datetime | None = None
) -> Timeline:
    """The versions of a policy, and what replays asked for instead of them.

    Args:
        as_of: those that userdb had by then; default: all. The first one is always there.
    """
    versions_of = select(
        PolicyVersion.version, PolicyVersion.effective_minute, PolicyVersion.definition
    ).where(PolicyVersion.policy == policy)
    overrides_of = select(
        VersionOverride.first_minute, VersionOverride.last_minute, VersionOverride.version
    ).where(VersionOverride.policy == policy)
    if as_of is not None:
        versions_of = versions_of.where(
            or_(PolicyVersion.registered_at <= as_of, PolicyVersion.version == 1)
        )
        overrides_of = overrides_of.where(VersionOverride.recorded_at <= as_of)
    rows = connection.execute(versions_of.order_by(PolicyVersion.version))
    versions = [
        Version(
            row.version,
            row.effective_minute,
            None if row.definition is None else parse_policy(row.definition),
        )
        for row in rows
    ]
    overrides = connection.execute(overrides_of.order_by(VersionOverride.id))
    return Timeline(versions, [(row[0], row[1], row[2]) for row in overrides])


def current_policies(
    connection: Connection, only: Collection[str] | None = None
) -> dict[str, Policy | None]:
    """The newest definition of each policy (of ``only``); None for one that was removed."""
    newest = select(func.max(PolicyVersion.id)).group_by(PolicyVersion.policy)
    if only is not None:
        newest = newest.where(PolicyVersion.policy.in_(sorted(only)))
    rows = connection.execute(
        select(PolicyVersion.policy, PolicyVersion.definition).where(PolicyVersion.id.in_(newest))
    )
    return {
        row.policy: None if row.definition is None else parse_policy(row.definition) for row in rows
    }


def register_policies(
    connection: Connection, loaded: Policies, *, now: datetime, edits: bool
) -> list[str]:
    """Store what is new in the loaded policies; returns the names of those that changed.

    A policy that userdb doesn't know yet is always stored: its first version rules all times
    before it too. Changes and removals begin at ``now`` and are stored only with ``edits``:
    a backfill changes no history by being run after an edit.
    """
    minute = to_minute(now)
    found = _changes(connection, loaded, edits=edits)
    if not found:
        return []
    # before the lock that collectors wait for: who scores a policy holds its row for long
    for change in found:
        if change.known and change.policy is not None:
            lock_policy(connection, change.name)
    take_registration_lock(connection)
    changes = _changes(connection, loaded, edits=edits)  # without what others registered meanwhile
    for name, policy, known in changes:
        _add(connection, name, policy, minute, now)
        if policy is None:
            continue
        if known:
            connection.execute(
                update(PolicyState)
                .where(PolicyState.policy == name)
                .values(family=policy.family_name)
            )
        else:
            connection.execute(insert(PolicyState).values(policy=name, family=policy.family_name))
    return [change.name for change in changes]


class _Change(NamedTuple):
    """A definition to be stored, None for a removal; ``known``: the policy has had others."""

    name: str
    policy: Policy | None
    known: bool


def _changes(connection: Connection, loaded: Policies, *, edits: bool) -> list[_Change]:
    known = current_policies(connection)
    changes = [
        _Change(policy.name, policy, policy.name in known)
        for policy in loaded.policies
        if policy.name not in known or (edits and known[policy.name] != policy)
    ]
    if edits and not loaded.unreadable:
        present = {policy.name for policy in loaded.policies} | loaded.broken
        changes += [
            _Change(name, None, known=True)
            for name, last in known.items()
            if name not in present and last is not None
        ]
    return changes


def _add(
    connection: Connection, name: str, policy: Policy | None, minute: int, now: datetime
) -> None:
    last = connection.scalar(
        select(func.max(PolicyVersion.version)).where(PolicyVersion.policy == name)
    )
    connection.execute(
        insert(PolicyVersion).values(
            policy=name,
            version=(last or 0) + 1,
            definition=None if policy is None else stored_form(policy),
            effective_minute=minute,
            registered_at=now,
        )
    )
