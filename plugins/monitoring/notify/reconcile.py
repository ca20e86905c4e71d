"""Reconcile: bring the outbox in line with what is true, a receiver's group at a time.

One transaction a group, under the lock of its row: what was told is compared with the committed
present state, and the messages are inserted. So a crash before the commit changes nothing, and
the next run does the same; and two runs at once insert a message once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from monitoring.alerts.silences import read_silences
from monitoring.notify import groups, outbox
from monitoring.notify.channels import forgets
from monitoring.notify.context import read_context
from monitoring.notify.definition import Receiver
from monitoring.notify.difference import REMEMBERED, references
from monitoring.notify.episode import TOLD_LATE, Episode, Present
from monitoring.notify.payload import AlertPayload, Group, message
from monitoring.notify.present import read_present
from monitoring.notify.routing.decision import Decision, GroupState
from monitoring.notify.routing.digest import DIGEST, UNLIMITED, Allowance, within_limit
from monitoring.notify.routing.plan import Target, members, plan
from monitoring.notify.routing.suppression import Suppression
from monitoring.notify.routing.tree import Routing
from monitoring.notify.told import Told, payloads_of
from userdb.errors import UserdbUnavailable
from userdb.store import Store

log = logging.getLogger(__name__)

_EVERYONE = Routing()


@dataclass(frozen=True)
class Decided:
    """What was decided.

    Attributes:
        deliveries: ids of new messages.
        held: alerts that a receiver's limit holds back.
        stale: policies whose state is too old to tell anybody.
        errors: by receiver and group.
    """

    deliveries: tuple[str, ...] = ()
    held: int = 0
    stale: tuple[str, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)


def reconcile(
    store: Store,
    receivers: Sequence[Receiver],
    *,
    now: datetime,
    routing: Routing = _EVERYONE,
    external_url: str = "",
) -> Decided:
    """Insert the deliveries that each receiver needs to know what is true now.

    Doing it again inserts nothing. A group that fails is in the errors; the others go on.
    """
    by_name = {one.name: one for one in receivers}
    with store.read() as connection:
        stored = groups.read_groups(connection, list(by_name))
        present = read_present(
            connection,
            now=now,
            references=[one for kept in stored.values() for one in references(kept.state.told)],
        )
        limited = {*routing.limits, *groups.read_held(connection, list(by_name))}
        silences = read_silences(connection, since=now - TOLD_LATE)
    targets = plan(routing, list(by_name), stored, present, now=now)
    suppression = Suppression(silences, routing.inhibit_rules, present, now)
    work = _Work(routing, frozenset(limited), suppression, now, external_url)
    found: list[str] = []
    errors: dict[str, str] = {}

    def write(name: str, what: str, step: partial[list[str]]) -> bool:
        try:
            made = store.write(step)
            found.extend(made)
            return bool(made)
        except UserdbUnavailable:
            raise
        except Exception as error:
            log.exception("receiver %s, %s: not reconciled", name, what)
            errors[f"{name} {what}"] = f"{type(error).__name__}: {error}"
            return False

    for target in targets:
        kept = stored.get(target.key)
        state = GroupState() if kept is None else kept.state
        receiver = by_name[target.receiver]
        # without the lock: most groups have no news, and need none
        if work.decide(target, receiver, state, present).state == state:
            continue
        step = partial(
            work.reconcile_group,
            receiver=receiver,
            target=target,
            about=_episodes(target, present),
        )
        write(target.receiver, f"group {target.group.key}", step)
    waiting = 0
    # last, so that a digest tells what was held back just now too
    with store.read() as connection:
        all_held = groups.read_held(connection, list(by_name))
        is_any_over = groups.is_any_over(connection, now - REMEMBERED)
    for name, held in all_held.items():
        if held:
            sent = write(name, "digest", partial(work.send_digest, receiver=by_name[name]))
            waiting += 0 if sent else len(held)
    if is_any_over:
        write("groups", "that are over", partial(work.forget))
    return Decided(tuple(found), waiting, tuple(sorted(present.stale)), errors)


def _episodes(target: Target, present: Present) -> list[Episode]:
    """What fires of a group's alerts, and what ended lately."""
    part = present.only(target.marks)
    return [*part.firing.values(), *(one for some in part.ended.values() for one in some)]


@dataclass(frozen=True)
class _Work:
    """What all groups are decided with. Its methods write, each in a transaction of its own.

    ``limited`` are the receivers that have a limit, or had one and may still get a digest.
    """

    routing: Routing
    limited: frozenset[str]
    suppression: Suppression
    now: datetime
    external_url: str

    def decide(
        self, target: Target, receiver: Receiver, state: GroupState, present: Present
    ) -> Decision:
        return target.decide(
            state,
            present,
            self.suppression,
            now=self.now,
            send_resolved=receiver.send_resolved,
            repeat_acknowledged=forgets(receiver.kind),
            external_url=self.external_url,
        )

    def reconcile_group(
        self,
        connection: Connection,
        *,
        receiver: Receiver,
        target: Target,
        about: Sequence[Episode],
    ) -> list[str]:
        """Compare, under the lock, and insert the messages; returns their ids.

        Args:
            about: the group's alerts when it was planned. Only their series are read again: what
                joins the group meanwhile is seen by the next reconcile.
        """
        is_limited = receiver.name in self.limited
        held = groups.lock_held(connection, receiver.name, self.now) if is_limited else {}
        state = groups.lock_group(connection, receiver.name, target.group, self.now)
        present = read_present(
            connection,
            now=self.now,
            references=references(state.told),
            policies={one.policy for one in about} | {one.policy for one in state.told.values()},
            series={one.series_id for one in about},
        )
        if target.route is not None:
            marks = members(target.route, target.group, self.routing, present, state.told)
            target = target.with_marks(marks)
        decision = self.decide(target, receiver, state, present)
        if decision.state == state:
            return []
        groups.store_group(connection, receiver.name, target.group, decision.state, self.now)
        messages = decision.messages
        if is_limited:
            allowance = self._allowance(connection, receiver, held)
            messages, new = within_limit(held, state.told, decision, allowance)
            if new != held:
                groups.store_held(connection, receiver.name, new, self.now)
        return self._insert(connection, receiver, target.group, messages, decision.state.told)

    def send_digest(self, connection: Connection, *, receiver: Receiver) -> list[str]:
        """Insert the digest of what is held back, if the limit allows one; returns its id."""
        held = groups.lock_held(connection, receiver.name, self.now)
        if not held or not self._allowance(connection, receiver, held).allows_digest():
            return []
        groups.store_held(connection, receiver.name, {}, self.now)
        return self._insert(
            connection, receiver, DIGEST, [payloads_of(held.values())], held, kind=outbox.DIGEST
        )

    def forget(self, connection: Connection) -> list[str]:
        """Delete what is remembered of groups that are over for long."""
        groups.forget(connection, self.now - REMEMBERED)
        return []

    def _allowance(
        self, connection: Connection, receiver: Receiver, held: Mapping[str, Told]
    ) -> Allowance:
        limit = self.routing.limits.get(receiver.name)
        left = UNLIMITED
        if limit is not None:
            used = outbox.created_since(connection, receiver.name, self.now - limit.per)
            left = limit.messages - used
        unfinished = outbox.unfinished_kinds(connection, receiver.name)
        return Allowance(
            left=left,
            is_waiting=bool(held) or outbox.DIGEST in unfinished,
            is_clear=not unfinished,
        )

    def _insert(
        self,
        connection: Connection,
        receiver: Receiver,
        group: Group,
        messages: Sequence[Sequence[AlertPayload]],
        told: Mapping[str, Told],
        kind: str = outbox.ALERTS,
    ) -> list[str]:
        payloads = [
            dict(
                message(
                    receiver.name,
                    group,
                    alerts,
                    external_url=self.external_url,
                    max_alerts=receiver.max_alerts,
                )
            )
            for alerts in messages
        ]
        context = read_context(
            connection, messages, {mark: one.episode for mark, one in told.items()}
        )
        return outbox.enqueue(
            connection, receiver.name, group.stored_key, payloads, self.now, context, kind=kind
        )
