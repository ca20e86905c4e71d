"""Rows of ``notification_group``: what is remembered of each receiver's groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update
from sqlalchemy.engine import Row

from monitoring.notify.payload import Group, format_time
from monitoring.notify.routing.decision import GroupState
from monitoring.notify.routing.digest import DIGEST
from monitoring.notify.routing.plan import Key, StoredGroup
from monitoring.notify.told import Told
from userdb.models import NotificationGroup

_HELD = "held"


def read_groups(connection: Connection, receivers: Sequence[str]) -> dict[Key, StoredGroup]:
    """All that these receivers were told, by receiver and stored key."""
    rows = connection.execute(
        select(NotificationGroup.__table__)
        .where(
            NotificationGroup.receiver.in_(receivers),
            NotificationGroup.group_key != DIGEST.stored_key,
        )
        .order_by(NotificationGroup.receiver, NotificationGroup.group_key)
    )
    found = {}
    for row in rows:
        group = _group(row)
        if group is not None:
            found[row.receiver, row.group_key] = StoredGroup(group, _state(row))
    return found


def is_any_over(connection: Connection, before: datetime) -> bool:
    """Whether ``forget`` has something to do."""
    query = select(NotificationGroup.receiver).where(_is_over(before)).limit(1)
    return connection.scalar(query) is not None


def forget(connection: Connection, before: datetime) -> None:
    """Delete the groups of which nothing fires since before ``before``; of all receivers."""
    connection.execute(delete(NotificationGroup).where(_is_over(before)))


def lock_group(connection: Connection, receiver: str, group: Group, now: datetime) -> GroupState:
    """Lock a group's row, which is made where there is none; returns what is remembered."""
    return _state(_lock(connection, receiver, group, now))


def store_group(
    connection: Connection, receiver: str, group: Group, state: GroupState, now: datetime
) -> None:
    """Write what is to be remembered of a group that is locked."""
    connection.execute(
        update(NotificationGroup)
        .where(_is(receiver, group))
        .values(
            told=_as_json(state.told),
            flushed_at=state.flushed_at,
            memo=_memo(group),
            updated_at=now,
        )
    )


def read_held(connection: Connection, receivers: Sequence[str]) -> dict[str, dict[str, Told]]:
    """What is held back for each of the receivers that have, or had, a limit: by fingerprint."""
    rows = connection.execute(
        select(NotificationGroup.receiver, NotificationGroup.memo)
        .where(
            NotificationGroup.receiver.in_(receivers),
            NotificationGroup.group_key == DIGEST.stored_key,
        )
        .order_by(NotificationGroup.receiver)
    )
    return {row.receiver: _told((row.memo or {}).get(_HELD, {})) for row in rows}


def lock_held(connection: Connection, receiver: str, now: datetime) -> dict[str, Told]:
    """Lock what is held back for a receiver. To be locked before any group of its."""
    return _told(_lock(connection, receiver, DIGEST, now).memo.get(_HELD, {}))


def store_held(
    connection: Connection, receiver: str, held: Mapping[str, Told], now: datetime
) -> None:
    """Write what is held back for a receiver, which is locked."""
    connection.execute(
        update(NotificationGroup)
        .where(_is(receiver, DIGEST))
        .values(memo={**_memo(DIGEST), _HELD: _as_json(held)}, updated_at=now)
    )


def _lock(
    connection: Connection, receiver: str, group: Group, now: datetime
) -> Row[*tuple[Any, ...]]:
    lock = select(NotificationGroup.__table__).where(_is(receiver, group)).with_for_update()
    row = connection.execute(lock).one_or_none()
    if row is not None:
        return row
    make = insert(NotificationGroup).prefix_with(
        "OR IGNORE" if connection.dialect.name == "sqlite" else "IGNORE"
    )
    made = {
        "receiver": receiver,
        "group_key": group.stored_key,
        "told": {},
        "updated_at": now,
        "memo": _memo(group),
    }
    connection.execute(make, [made])
    return connection.execute(lock).one()


def _is_over(before: datetime) -> ColumnElement[bool]:
    # a group that fires has begun
    return and_(
        NotificationGroup.flushed_at.is_(None),
        NotificationGroup.updated_at < before,
        NotificationGroup.memo.is_not(None),
        NotificationGroup.group_key != DIGEST.stored_key,
    )


def _is(receiver: str, group: Group) -> ColumnElement[bool]:
    return and_(
        NotificationGroup.receiver == receiver, NotificationGroup.group_key == group.stored_key
    )


def _memo(group: Group) -> dict[str, Any]:
    """The group, whose key may be shortened, so that it is known when no route has it any more."""
    return {"route": group.route, "labels": dict(group.labels)}


def _group(row: Row[*tuple[Any, ...]]) -> Group | None:
    """The group of a row; None where nothing says which it is, and nothing was told of it."""
    if row.memo is not None:
        return Group(row.memo["labels"], row.memo["route"])
    # a version without routing, which told a message a policy, wrote it
    told = _state(row).told
    return Group({"alertname": next(iter(told.values())).policy}) if told else None


def _state(row: Row[*tuple[Any, ...]]) -> GroupState:
    if row.memo is not None:
        return GroupState(_told(row.told), row.flushed_at)
    at = format_time(row.updated_at)
    told = _told({mark: {"at": at, **one} for mark, one in row.told.items()})
    fires = any(one.status == "firing" for one in told.values())
    return GroupState(told, row.updated_at if fires else None)


def _told(data: Mapping[str, Any]) -> dict[str, Told]:
    return {mark: Told.from_json(one) for mark, one in data.items()}


def _as_json(told: Mapping[str, Told]) -> dict[str, Any]:
    return {mark: one.as_json() for mark, one in told.items()}
