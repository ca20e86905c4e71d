"""How the chain is doing: what is covered, what is missing, what is late, what is stale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, select

from monitoring.policy.versions import current_policies
from monitoring.registry.rows import read_services
from monitoring.window import Window
from userdb.ledger import FAMILY_COLLECTORS, covered_minutes, spans
from userdb.migrate import current
from userdb.models import Alert, Collection, Delivery, PolicyState
from userdb.retention import read_floors
from userdb.store import Store
from userdb.times import from_minute, require_aware, to_minute

#: How much of the past is looked at for coverage, and for late and rejected rows.
LOOKBACK = timedelta(hours=24)
#: The newest minutes that nobody has collected yet are not missing: their run may be under way.
GRACE = timedelta(minutes=15)
#: Rows of the ledger that are looked through first for a collector's newest success.
_NEWEST = 1000
#: ... and for its newest failure, where one is: a collector that never failed has none to find.
_FAILED_AMONG = 50_000


@dataclass(frozen=True)
class Failure:
    """The newest failure of a collector's source, where the ledger's newest rows tell of one."""

    source: str
    window: Window
    at: datetime
    message: str | None


@dataclass(frozen=True)
class CollectorStatus:
    """A collector over the last 24 hours. ``missing`` is what a backfill could fill."""

    name: str
    last_ok: Window | None
    covered_share: float
    missing: tuple[Window, ...]
    rejected_rows: int
    late_rows: int
    last_failure: Failure | None


@dataclass(frozen=True)
class PolicyStatus:
    """How far a policy has been evaluated. Nothing new is sent for a stale one."""

    policy: str
    watermark: datetime | None
    stale: bool
    firing: int


@dataclass(frozen=True)
class Status:
    """The chain's state at ``now``. ``userdb`` is the URL without its password."""

    now: datetime
    userdb: str
    revision: str | None
    collectors: tuple[CollectorStatus, ...]
    policies: tuple[PolicyStatus, ...]
    firing: int
    pending_deliveries: int
    dead_deliveries: int
    #: families whose minutes were purged, to the first that is still whole
    kept_since: Mapping[str, datetime]
    #: services with fewer healthy instances than their floor: unhealthy ones are kept in service
    protected_services: tuple[str, ...] = ()


def read_status(store: Store, *, now: datetime, collectors: Sequence[str]) -> Status:
    """The state of ``collectors``, of all policies and of the outbox.

    What nodes push, and what is pulled from them, is a collector too where it was lately.

    Raises:
        UserdbUnavailable: userdb can't be reached.
        SchemaError: userdb has no schema, or another one than the code.
    """
    now = require_aware(now, "now")
    with store.read() as connection:
        firing = _count_by(connection, "firing")
        deliveries = {
            row.status: row.number
            for row in connection.execute(
                select(Delivery.status, func.count().label("number"))
                .where(Delivery.status.in_(("pending", "sending", "dead")))
                .group_by(Delivery.status)
            )
        }
        return Status(
            now=now,
            userdb=str(store.url),
            revision=current(store),
            collectors=tuple(
                _collector(connection, name, now)
                for name in (*collectors, *_of_nodes(connection, collectors, now))
            ),
            policies=_policies(connection, firing, now),
            firing=sum(firing.values()),
            pending_deliveries=deliveries.get("pending", 0) + deliveries.get("sending", 0),
            dead_deliveries=deliveries.get("dead", 0),
            kept_since={
                family: from_minute(minute)
                for family, minute in sorted(read_floors(connection).items())
            },
            protected_services=tuple(
                one.name for one in read_services(connection, now=now) if one.protected
            ),
        )


def _of_nodes(connection: Connection, known: Sequence[str], now: datetime) -> Sequence[str]:
    names = {name for family in FAMILY_COLLECTORS.values() for name in family} - set(known)
    rows = connection.scalars(
        select(Collection.collector)
        .where(Collection.collector.in_(names), Collection.window_end > now - LOOKBACK)
        .distinct()
    )
    return sorted(rows)


def _collector(connection: Connection, name: str, now: datetime) -> CollectorStatus:
    stop = to_minute(now)
    first = stop - LOOKBACK // timedelta(minutes=1)
    covered = covered_minutes(connection, name, first, stop)
    expected = _expected(covered, to_minute(now - GRACE) - first)
    rejected, late = _rejected_and_late(connection, name, from_minute(first), from_minute(stop))
    return CollectorStatus(
        name=name,
        last_ok=_last_ok(connection, name),
        covered_share=float(covered[:expected].mean()),
        missing=tuple(
            Window.of_minutes(first + low, first + high + 1)
            for low, high in spans(np.flatnonzero(~covered[:expected]).tolist())
        ),
        rejected_rows=rejected,
        late_rows=late,
        last_failure=_last_failure(connection, name),
    )


def _expected(covered: np.ndarray[tuple[int], np.dtype[np.bool_]], grace_from: int) -> int:
    """How many minutes are expected to be covered: up to the last one that is, or the grace."""
    done = np.flatnonzero(covered)
    return max(int(done[-1]) + 1 if done.size else 0, grace_from)


def _last_ok(connection: Connection, name: str) -> Window | None:
    of_it = Collection.collector == name
    # as a rule it is among the newest; grouping a year's ledger would take a second
    floor = connection.scalar(
        select(Collection.window_end)
        .where(of_it)
        .order_by(Collection.window_end.desc())
        .offset(_NEWEST)
        .limit(1)
    )
    if floor is not None:
        found = _last_ok_of(connection, of_it & (Collection.window_end >= floor))
        if found is not None:
            return found
    return _last_ok_of(connection, of_it)


def _last_ok_of(connection: Connection, which: ColumnElement[bool]) -> Window | None:
    # an attempt is ok when none of its sources is anything else
    attempts = (
        select(
            func.max(Collection.window_start).label("start"),
            func.max(Collection.window_end).label("end"),
        )
        .where(which)
        .group_by(Collection.attempt)
        .having(func.min(Collection.status) == "ok", func.max(Collection.status) == "ok")
        .order_by(func.max(Collection.window_end).desc(), func.max(Collection.id).desc())
        .limit(1)
    )
    row = connection.execute(attempts).first()
    return None if row is None else Window(row.start, row.end)


def _rejected_and_late(
    connection: Connection, name: str, start: datetime, end: datetime
) -> tuple[int, int]:
    # a window that was collected again counts once: its newest attempt
    newest = (
        select(func.max(Collection.id))
        .where(
            Collection.collector == name,
            Collection.window_end > start,
            Collection.window_start < end,
        )
        .group_by(Collection.source, Collection.window_start, Collection.window_end)
    )
    rejected, late = connection.execute(
        select(func.sum(Collection.rejected), func.sum(Collection.late)).where(
            Collection.id.in_(newest)
        )
    ).one()
    return int(rejected or 0), int(late or 0)


def _last_failure(connection: Connection, name: str) -> Failure | None:
    row = connection.execute(
        select(
            Collection.source,
            Collection.window_start,
            Collection.window_end,
            Collection.started_at,
            Collection.message,
        )
        .where(
            Collection.id > select(func.max(Collection.id) - _FAILED_AMONG).scalar_subquery(),
            Collection.collector == name,
            Collection.status == "failed",
        )
        .order_by(Collection.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    window = Window(row.window_start, row.window_end)
    return Failure(row.source, window, row.started_at, row.message)


def _count_by(connection: Connection, state: str) -> dict[str, int]:
    counts = connection.execute(
        select(Alert.policy, func.count().label("number"))
        .where(Alert.state == state, Alert.superseded_at.is_(None))
        .group_by(Alert.policy)
    )
    return {row.policy: row.number for row in counts}


def _policies(
    connection: Connection, firing: dict[str, int], now: datetime
) -> tuple[PolicyStatus, ...]:
    definitions = current_policies(connection)
    states = connection.execute(
        select(PolicyState.policy, PolicyState.watermark).order_by(PolicyState.policy)
    )
    result = []
    for policy, minute in states:
        definition = definitions.get(policy)
        if definition is None:
            continue  # removed
        watermark = None if minute is None else from_minute(minute)
        stale = watermark is None or now - watermark > definition.present_for
        result.append(PolicyStatus(policy, watermark, stale, firing.get(policy, 0)))
    return tuple(result)
