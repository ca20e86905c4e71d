"""The audit: who changed services, instances and routes, when, and from what to what.

It is written in the transaction of the change and never purged, so it is also the history by which
what was in force at a time is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from userdb.models import Audit


@dataclass(frozen=True)
class AuditRow:
    """One change. ``before`` is None where the subject was not, ``after`` where it is no more."""

    id: int
    at: datetime
    principal: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True)
class Version:
    """What a subject was from ``begins`` (None: from before the range asked for) until ``ends``,
    exclusive (None: to this day)."""

    subject: str
    state: Mapping[str, Any]
    begins: datetime | None
    ends: datetime | None


def record(
    connection: Connection,
    action: str,
    subject: str,
    *,
    by: str,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add a change, in the transaction that makes it.

    Args:
        subject: ``route/<id>``, ``service/<name>`` or ``instance/<id>``.
        by: the principal.
        before, after: values of JSON.
    """
    row = {
        "at": now,
        "principal": by[:255],
        "action": action,
        "subject": subject,
        "before": None if before is None else dict(before),
        "after": None if after is None else dict(after),
    }
    connection.execute(insert(Audit), [row])


def versions(
    connection: Connection,
    kind: str,
    current: Mapping[str, Mapping[str, Any]],
    start: datetime,
    end: datetime,
) -> list[Version]:
    """What the subjects of ``kind`` (route, instance) were in [start, end), by subject and time.

    Args:
        current: what they are, by subject, as the audit shows them, read before this is called.
            It tells of those that nobody has changed since ``start``.
    """
    changes: dict[str, list[AuditRow]] = {}
    rows = connection.execute(
        select(*Audit.__table__.c).where(
            Audit.at >= start, Audit.subject.startswith(f"{kind}/", autoescape=True)
        )
    )
    # ordered here: SQLite would walk the whole table in this order rather than use the time's index
    for row in sorted(rows, key=lambda row: row.id):
        changes.setdefault(row.subject, []).append(AuditRow(**row._mapping))
    found = []
    for subject in sorted({*current, *changes}):
        steps: list[tuple[datetime | None, Mapping[str, Any] | None]]
        if subject not in changes:
            steps = [(None, current[subject])]
        else:
            steps = [(None, changes[subject][0].before)]
            for change in changes[subject]:
                # two servers' clocks may differ by a bit: the order is that of the changes
                at = max(change.at, steps[-1][0] or change.at)
                steps.append((at, change.after))
        for (begins, state), (ends, _) in zip(steps, [*steps[1:], (None, None)], strict=True):
            is_empty = begins is not None and begins == ends
            if state is not None and not is_empty and (begins is None or begins < end):
                found.append(Version(subject, state, begins, ends))
    return found


def list_audit(
    connection: Connection,
    *,
    subject: str | None = None,
    kind: str | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[AuditRow]:
    """The newest changes first; ``before_id`` goes on after a page's last.

    Args:
        kind: route, service or instance.
    """
    query = select(*Audit.__table__.c).order_by(Audit.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(Audit.subject == subject)
    if kind is not None:
        query = query.where(Audit.subject.startswith(f"{kind}/", autoescape=True))
    if before_id is not None:
        query = query.where(Audit.id < before_id)
    return [AuditRow(**row._mapping) for row in connection.execute(query)]
