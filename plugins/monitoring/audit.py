"""The audit: who changed services, instances and routes, when, and from what to what."""

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
