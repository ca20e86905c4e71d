"""The versions that policies have had, and which was in force when."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from monitoring.policy.definition import Policy
from monitoring.policy.kinds import parse_policy, stored_form
from monitoring.policy.loader import Policies
from userdb.models import PolicyState, PolicyVersion
from userdb.times import to_minute

#: A minute before all others: the first version rules all times before it too.
_ALWAYS = -(2**40)


@dataclass(frozen=True)
class Version:
    """A definition, or None where the policy was removed; in force for evaluation times after
    ``effective`` (minutes), until the next version's."""

    number: int
    effective: int
    policy: Policy | None


@dataclass(frozen=True)
class Segment:
    """Evaluation times in (after, until] that one version rules; ``starts_at`` is when it began."""

    after: int
    until: int
    version: Version
    starts_at: int


def read_versions(connection: Connection, policy: str) -> list[Version]:
    """All versions of a policy, oldest first."""
    rows = connection.execute(
        select(PolicyVersion.version, PolicyVersion.effective_minute, PolicyVersion.definition)
        .where(PolicyVersion.policy == policy)
        .order_by(PolicyVersion.version)
    )
    return [
        Version(
            row.version,
            row.effective_minute,
            None if row.definition is None else parse_policy(row.definition),
        )
        for row in rows
    ]


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


def segments(versions: Sequence[Version], after: int, until: int) -> Iterator[Segment]:
    """Split (after, until] by the version in force. Times before the first version use it."""
    for index, version in enumerate(versions):
        starts = version.effective if index else _ALWAYS
        ends = versions[index + 1].effective if index + 1 < len(versions) else until
        low, high = max(after, starts), min(until, ends)
        if low < high:
            yield Segment(low, high, version, starts)


def register_policies(
    connection: Connection, loaded: Policies, *, now: datetime, edits: bool
) -> list[str]:
    """Store what is new in the loaded policies; returns the names of those that changed.

    A policy that userdb doesn't know yet is always stored: its first version rules all times
    before it too. Changes and removals begin at ``now`` and are stored only with ``edits``:
    a backfill changes no history by being run after an edit.
    """
    minute = to_minute(now)
    known = current_policies(connection)
    changed: list[str] = []
    for policy in loaded.policies:
        if policy.name not in known:
            _add(connection, policy.name, policy, minute, now)
            connection.execute(
                insert(PolicyState).values(policy=policy.name, family=policy.family_name)
            )
            changed.append(policy.name)
        elif edits and known[policy.name] != policy:
            _add(connection, policy.name, policy, minute, now)
            connection.execute(
                update(PolicyState)
                .where(PolicyState.policy == policy.name)
                .values(family=policy.family_name)
            )
            changed.append(policy.name)
    if edits and not loaded.unreadable:
        present = {policy.name for policy in loaded.policies} | loaded.broken
        for name, last in known.items():
            if name not in present and last is not None:
                _add(connection, name, None, minute, now)
                changed.append(name)
    return changed


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
