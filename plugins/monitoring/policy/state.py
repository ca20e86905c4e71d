"""The row that a policy has in userdb: its lock, how far it has come, and what is to be done."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select, update

from userdb.models import PolicyState


def lock_policy(connection: Connection, name: str) -> Row[Any]:
    """The policy's row of policy_state, locked until the transaction's end."""
    return connection.execute(
        select(PolicyState.__table__).where(PolicyState.policy == name).with_for_update()
    ).one()


def mark_scored(
    connection: Connection, state: Row[Any], after: int, until: int, *, watermark: int | None
) -> None:
    """Record that evidence in (after, until] may have changed: the next fold takes it in.

    Args:
        state: the policy's row, as ``lock_policy`` gave it.
        watermark: how far it was evaluated by now; None where that didn't change.
    """
    known = [one for one in (watermark, state.watermark) if one is not None]
    connection.execute(
        update(PolicyState)
        .where(PolicyState.policy == state.policy)
        .values(
            generation=PolicyState.generation + 1,
            watermark=max(known, default=None),
            fold_from=after if state.fold_from is None else min(after, state.fold_from),
            fold_to=until if state.fold_to is None else max(until, state.fold_to),
        )
    )


def mark_operands(connection: Connection, composite: str, after: int, until: int) -> None:
    """Record that what a composite combines may have changed in (after, until].

    It is scored in the next fold, after its operands have been folded.
    """
    state = lock_policy(connection, composite)
    known = state.operands_from is not None
    connection.execute(
        update(PolicyState)
        .where(PolicyState.policy == composite)
        .values(
            operands_from=min(after, state.operands_from) if known else after,
            operands_to=max(until, state.operands_to) if known else until,
        )
    )
