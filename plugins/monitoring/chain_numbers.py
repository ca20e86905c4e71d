"""The chain's own health as numbers, for a monitoring system that watches the monitoring.

What ``monitoring status`` says of coverage, and counts of what userdb holds besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from monitoring.alerts.overlay import RESOLVED_BY_HAND
from monitoring.ledger_totals import LedgerSums, LedgerTotals
from monitoring.policy.versions import current_policies
from monitoring.status import Status, read_status
from userdb.migrate import head
from userdb.models import Alert, Delivery, Dirty
from userdb.store import Store

ALERT_STATES = ("pending", "firing")
DELIVERY_STATES = ("pending", "sending", "sent", "dead")


@dataclass(frozen=True)
class ChainNumbers:
    """Counts at one moment, zeros included.

    Attributes:
        ledger: by collector.
        alerts: by policy, severity, and state (pending, firing), operators' acts included.
        deliveries: by receiver, and state.
        dirty: tokens by policy.
        needed: the schema's revision that the code needs; ``status`` has the one there is.
    """

    status: Status
    ledger: dict[str, LedgerTotals]
    alerts: dict[tuple[str, str, str], int]
    deliveries: dict[tuple[str, str], int]
    dirty: dict[str, int]
    needed: str


def read_numbers(
    store: Store, *, now: datetime, collectors: Sequence[str], ledger: LedgerSums | None = None
) -> ChainNumbers:
    """The chain's numbers at ``now``.

    Args:
        ledger: what was summed of this userdb before, so that it isn't summed again.

    Raises:
        UserdbUnavailable: userdb can't be reached.
    """
    status = read_status(store, now=now, collectors=collectors)
    with store.read() as connection:
        return ChainNumbers(
            status=status,
            ledger=(ledger or LedgerSums()).read(connection, collectors),
            alerts=_alerts(connection),
            deliveries=_deliveries(connection),
            dirty=_dirty(connection, [one.policy for one in status.policies]),
            needed=head(),
        )


def _alerts(connection: Connection) -> dict[tuple[str, str, str], int]:
    found = {
        (name, policy.severity, state): 0
        for name, policy in current_policies(connection).items()
        if policy is not None
        for state in ALERT_STATES
    }
    rows = connection.execute(
        select(Alert.policy, Alert.severity, Alert.state, func.count().label("number"))
        .where(
            Alert.state.in_(ALERT_STATES),
            Alert.superseded_at.is_(None),
            RESOLVED_BY_HAND.is_(None),
        )
        .group_by(Alert.policy, Alert.severity, Alert.state)
    )
    return found | {(row.policy, row.severity, row.state): row.number for row in rows}


def _deliveries(connection: Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        select(Delivery.receiver, Delivery.status, func.count().label("number")).group_by(
            Delivery.receiver, Delivery.status
        )
    ).all()
    found = {(row.receiver, state): 0 for row in rows for state in DELIVERY_STATES}
    return found | {(row.receiver, row.status): row.number for row in rows}


def _dirty(connection: Connection, policies: Sequence[str]) -> dict[str, int]:
    rows = connection.execute(
        select(Dirty.policy, func.count().label("number")).group_by(Dirty.policy)
    )
    return dict.fromkeys(policies, 0) | {row.policy: row.number for row in rows}
