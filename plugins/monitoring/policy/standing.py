"""Policies as they stand: what is in force, what the files say now, and what there was before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, select

from monitoring.policy.definition import Policy
from monitoring.policy.kinds import parse_policy, stored_form
from monitoring.policy.loader import Policies
from userdb.errors import NotFoundError
from userdb.models import PolicyState, PolicyVersion
from userdb.times import from_minute

Standing = Literal["in_force", "removed", "new"]


@dataclass(frozen=True)
class VersionRow:
    """A definition that a policy has had; null where it was removed.

    It holds for evaluations after ``effective_at``; the first version for those before it, too.
    """

    version: int
    effective_at: datetime
    registered_at: datetime
    definition: dict[str, Any] | None


@dataclass(frozen=True)
class PolicyRow:
    """A policy.

    Attributes:
        standing: ``new``: in the files, and no run has registered it yet.
        in_force: the newest version; null where it is new or removed.
        file: what the files say now; null where they don't have it, or have it with an error.
        is_edited: whether the next scheduled run will register what the files say as a version.
        is_broken: whether the files have it with an error: it stays as it is.
        evaluated_until: the newest evaluation.
    """

    name: str
    standing: Standing
    kind: str
    severity: str
    in_force: VersionRow | None
    versions: int
    file: dict[str, Any] | None
    is_edited: bool
    is_broken: bool
    evaluated_until: datetime | None


@dataclass(frozen=True)
class PolicyDetail(PolicyRow):
    """A policy with all its versions, oldest first."""

    history: list[VersionRow]


def list_policies(connection: Connection, loaded: Policies) -> list[PolicyRow]:
    """All policies by name: those that userdb knows, and those of the files that are loaded."""
    versions = _versions(connection)
    watermarks = _watermarks(connection)
    files = {policy.name: policy for policy in loaded.policies}
    return [
        _row(name, versions.get(name, []), files.get(name), watermarks.get(name), loaded.broken)
        for name in sorted({*versions, *files})
    ]


def get_policy(connection: Connection, loaded: Policies, name: str) -> PolicyDetail:
    """One policy.

    Raises:
        NotFoundError: neither userdb nor the files have it.
    """
    versions = _versions(connection, name).get(name, [])
    file = next((policy for policy in loaded.policies if policy.name == name), None)
    if not versions and file is None:
        raise NotFoundError(f"there is no policy {name!r}; `monitoring policy list` shows them")
    watermark = _watermarks(connection).get(name)
    row = _row(name, versions, file, watermark, loaded.broken)
    return PolicyDetail(**vars(row), history=versions)


def _row(
    name: str,
    versions: Sequence[VersionRow],
    file: Policy | None,
    watermark: int | None,
    broken: Collection[str],
) -> PolicyRow:
    newest = versions[-1] if versions else None
    # of one that was removed, what it last was
    definitions = [one.definition for one in versions if one.definition is not None]
    last = parse_policy(definitions[-1]) if definitions else None
    shown = last or file
    assert shown is not None  # a policy's first version has a definition
    standing: Standing = "in_force"
    if newest is None:
        standing = "new"
    elif newest.definition is None:
        standing = "removed"
    in_force = last if standing == "in_force" else None
    return PolicyRow(
        name=name,
        standing=standing,
        kind=shown.kind,
        severity=shown.severity,
        in_force=None if in_force is None else newest,
        versions=len(versions),
        file=None if file is None else stored_form(file),
        is_edited=file != in_force and name not in broken,
        is_broken=name in broken,
        evaluated_until=None if watermark is None else from_minute(watermark),
    )


def _versions(connection: Connection, name: str | None = None) -> dict[str, list[VersionRow]]:
    query = select(PolicyVersion.__table__).order_by(PolicyVersion.policy, PolicyVersion.version)
    if name is not None:
        query = query.where(PolicyVersion.policy == name)
    found: dict[str, list[VersionRow]] = {}
    for row in connection.execute(query):
        found.setdefault(row.policy, []).append(
            VersionRow(
                row.version, from_minute(row.effective_minute), row.registered_at, row.definition
            )
        )
    return found


def _watermarks(connection: Connection) -> dict[str, int | None]:
    rows = connection.execute(select(PolicyState.policy, PolicyState.watermark))
    return {row.policy: row.watermark for row in rows}
