"""Reconcile: bring the outbox in line with what is true, a receiver's group at a time.

One transaction a group, under the lock of its row: what was told is compared with the committed
present state, and the messages are inserted. So a crash before the commit changes nothing, and
the next run does the same; and two runs at once insert a message once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert, select, update

from monitoring.notify.context import read_context
from monitoring.notify.definition import Receiver
from monitoring.notify.difference import Difference, Grouping, Told, difference, references
from monitoring.notify.outbox import enqueue
from monitoring.notify.payload import Group, message
from monitoring.notify.present import Present, read_present
from userdb.errors import UserdbUnavailable
from userdb.models import NotificationGroup
from userdb.store import Store

log = logging.getLogger(__name__)

_BY_POLICY = Grouping()
_Told = Mapping[str, Told]


@dataclass(frozen=True)
class Decided:
    """What was decided: ids of new deliveries, stale policies, errors by receiver and group."""

    deliveries: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)


def reconcile(
    store: Store,
    receivers: Sequence[Receiver],
    *,
    now: datetime,
    grouping: Grouping = _BY_POLICY,
    external_url: str = "",
) -> Decided:
    """Insert the deliveries that each receiver needs to know what is true now.

    Doing it again inserts nothing. A group that fails is in the errors; the others go on.
    """
    with store.read() as connection:
        known = _read_told(connection, [one.name for one in receivers])
        present = read_present(
            connection,
            now=now,
            references=[one for told in known.values() for one in references(told)],
        )
    found: list[str] = []
    errors: dict[str, str] = {}
    for receiver in receivers:
        for group in _groups(receiver, known, present, grouping):
            told = known.get((receiver.name, group.stored_key), {})
            # without the lock: most groups have no news, and need none
            if _of_group(receiver, group, told, present, now, grouping, external_url).told == told:
                continue
            work = partial(
                _reconcile_group,
                receiver=receiver,
                group=group,
                policies=_policies(group, present, grouping),
                now=now,
                grouping=grouping,
                external_url=external_url,
            )
            try:
                found += store.write(work)
            except UserdbUnavailable:
                raise
            except Exception as error:
                log.exception("receiver %s, group %s: not reconciled", receiver.name, group.key)
                errors[f"{receiver.name} {group.key}"] = f"{type(error).__name__}: {error}"
    return Decided(tuple(found), tuple(sorted(present.stale)), errors)


def _read_told(connection: Connection, receivers: Sequence[str]) -> dict[tuple[str, str], _Told]:
    rows = connection.execute(
        select(NotificationGroup.receiver, NotificationGroup.group_key, NotificationGroup.told)
        .where(NotificationGroup.receiver.in_(receivers))
        .order_by(NotificationGroup.receiver, NotificationGroup.group_key)
    )
    return {(row.receiver, row.group_key): _told(row.told) for row in rows}


def _told(data: Mapping[str, Any]) -> dict[str, Told]:
    return {mark: Told.from_json(one) for mark, one in data.items()}


def _groups(
    receiver: Receiver,
    known: Mapping[tuple[str, str], _Told],
    present: Present,
    grouping: Grouping,
) -> list[Group]:
    """The groups that may have news for ``receiver``, in a fixed order."""
    labels: list[Mapping[str, str]] = [one.labels for one in present.firing.values()]
    labels += [some[0].labels for some in present.ended.values()]
    for (name, _), told in known.items():
        if name == receiver.name:
            labels += [one.alert["labels"] for one in told.values() if one.status == "firing"]
    groups = {group.key: group for group in map(grouping.group, labels)}
    return [groups[key] for key in sorted(groups)]


def _policies(group: Group, present: Present, grouping: Grouping) -> frozenset[str]:
    part = _part(group, present, grouping)
    ended = [some[0] for some in part.ended.values()]
    return frozenset(one.policy for one in (*part.firing.values(), *ended))


def _part(group: Group, present: Present, grouping: Grouping) -> Present:
    return present.only(lambda labels: grouping.group(labels) == group)


def _of_group(
    receiver: Receiver,
    group: Group,
    told: _Told,
    present: Present,
    now: datetime,
    grouping: Grouping,
    external_url: str,
) -> Difference:
    return difference(
        told,
        _part(group, present, grouping),
        now=now,
        grouping=grouping,
        send_resolved=receiver.send_resolved,
        external_url=external_url,
    )


def _reconcile_group(
    connection: Connection,
    *,
    receiver: Receiver,
    group: Group,
    policies: Iterable[str],
    now: datetime,
    grouping: Grouping,
    external_url: str,
) -> list[str]:
    told = _lock(connection, receiver.name, group.stored_key, now)
    present = read_present(
        connection,
        now=now,
        references=references(told),
        policies={*policies, *(one.policy for one in told.values())},
    )
    found = _of_group(receiver, group, told, present, now, grouping, external_url)
    if found.told == told:
        return []
    connection.execute(
        update(NotificationGroup)
        .where(
            NotificationGroup.receiver == receiver.name,
            NotificationGroup.group_key == group.stored_key,
        )
        .values(told={mark: one.as_json() for mark, one in found.told.items()}, updated_at=now)
    )
    payloads = [
        dict(
            message(
                receiver.name,
                group,
                alerts,
                external_url=external_url,
                max_alerts=receiver.max_alerts,
            )
        )
        for alerts in found.messages
    ]
    context = read_context(
        connection, found.messages, {mark: one.episode for mark, one in found.told.items()}
    )
    return enqueue(connection, receiver.name, group.stored_key, payloads, now, context)


def _lock(connection: Connection, receiver: str, key: str, now: datetime) -> dict[str, Told]:
    """Lock the group's row, which is made where there is none; returns what was told."""
    lock = (
        select(NotificationGroup.told)
        .where(NotificationGroup.receiver == receiver, NotificationGroup.group_key == key)
        .with_for_update()
    )
    row = connection.execute(lock).one_or_none()
    if row is None:
        make = insert(NotificationGroup).prefix_with(
            "OR IGNORE" if connection.dialect.name == "sqlite" else "IGNORE"
        )
        connection.execute(
            make, [{"receiver": receiver, "group_key": key, "told": {}, "updated_at": now}]
        )
        row = connection.execute(lock).one()
    return _told(row.told)
