"""Storing what a node says of its containers. The first sample of a minute counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select

from include.collectors.container_stats.previous import previous_samples
from include.collectors.container_stats.runtime import Container, CpuCounters, Usage
from include.collectors.container_stats.sample import Previous, sample_row
from include.collectors.nodes.tally import MAX_AGE, Tally, refused_time
from include.collectors.nodes.wire import ContainerRow, Malformed, within
from userdb.ledger import mark_dirty
from userdb.models import ContainerSample
from userdb.retention import read_floors
from userdb.series import fingerprint, intern_series, lock_series, touch_series
from userdb.times import from_minute, to_minute

FAMILY = "container"
#: A sample may be filed in a minute so long before it was taken, as collectors do.
_FILED_BEFORE = timedelta(hours=1)
#: How far apart a node's samples may be filed and taken: see ``previous_samples``.
_CADENCE = timedelta(minutes=5)
_COPIED = (
    "memory_bytes",
    "memory_limit_bytes",
    "memory_percent",
    "pids",
    "network_rx_bytes",
    "network_tx_bytes",
    "block_read_bytes",
    "block_write_bytes",
    "throttled_periods",
    "throttled_ns",
)
#: What a node may say outright instead of leaving it to be computed.
_GIVEN = (
    "cpu_limit_percent",
    "cpu_percent",
    "down",
    "exits",
    "oom_kills",
    "reason",
    "restarts_delta",
    "undeclared",
    "wrong_image",
    "wrong_limit",
)


def store_containers(
    connection: Connection,
    rows: Sequence[ContainerRow | Malformed],
    *,
    node: str,
    pulled: bool = False,
    max_age: timedelta = MAX_AGE,
    now: datetime,
) -> Tally:
    """Store the samples that are new. The label ``host`` of rows that name none is the node.

    ``pulled`` rows are whole: nothing is computed from the sample before. Their hosts are named
    within the node, as every node may call its engine ``local``.

    Raises:
        sqlalchemy.exc.DBAPIError: userdb failed; nothing of this call is stored then.
    """
    tally = Tally.of(len(rows))
    kept = _accepted(connection, rows, tally, max_age, now)
    if not kept:
        return tally
    labels = {}
    for index, row in kept.items():
        own = row.labels
        own["host"] = within(node, row.host) if pulled else row.host or node
        labels[index] = own
    ids = intern_series(connection, FAMILY, labels.values())
    lock_series(connection, ids.values())
    by_minute: dict[int, dict[int, int]] = defaultdict(dict)
    for index, row in kept.items():
        by_minute[filed_in(row)][index] = ids[fingerprint(labels[index])]
    for minute, found in sorted(by_minute.items()):
        chosen = {index: (kept[index], one) for index, one in found.items()}
        _store_minute(connection, minute, chosen, tally, derive=not pulled)
    return tally


def filed_in(row: ContainerRow) -> int:
    """The minute that a sample is filed in."""
    return to_minute(row.observed_at if row.minute is None else row.minute)


def _accepted(
    connection: Connection,
    rows: Sequence[ContainerRow | Malformed],
    tally: Tally,
    max_age: timedelta,
    now: datetime,
) -> dict[int, ContainerRow]:
    first = read_floors(connection).get(FAMILY)
    floor = None if first is None else from_minute(first)
    kept: dict[int, ContainerRow] = {}
    for index, row in enumerate(rows):
        if isinstance(row, Malformed):
            tally.reject(index, None, row.field, row.message)
            continue
        filed = from_minute(filed_in(row))
        if why := refused_time(row.observed_at, now=now, max_age=max_age, floor=None):
            tally.reject(index, row.container, "observed_at", why)
        elif why := refused_time(filed, now=now, max_age=max_age, floor=floor):
            tally.reject(index, row.container, "minute", why)
        elif not filed <= row.observed_at < filed + _FILED_BEFORE:
            why = "is not within the hour before observed_at"
            tally.reject(index, row.container, "minute", why)
        else:
            kept[index] = row
    return kept


def _store_minute(
    connection: Connection,
    minute: int,
    rows: dict[int, tuple[ContainerRow, int]],
    tally: Tally,
    *,
    derive: bool,
) -> None:
    table = ContainerSample
    series = {one for _, one in rows.values()}
    known = {
        row.series_id: (row.observed_at, row.container_id)
        for row in connection.execute(
            select(table.series_id, table.observed_at, table.container_id).where(
                table.minute == minute, table.series_id.in_(series)
            )
        )
    }
    new: dict[int, ContainerRow] = {}
    for index, (row, one) in rows.items():
        sample = row.observed_at, row.container_id
        if one not in known:
            known[one], new[one] = sample, row
        elif known[one] == sample:
            tally.repeat(index)
        else:
            why = f"this minute has a sample, of {known[one][0].isoformat()}: the first counts"
            tally.reject(index, row.container, "observed_at", why)
    if not new:
        return
    records: list[dict[str, Any]] = []
    for taken in sorted({row.observed_at for row in new.values()}):
        own = {one: row for one, row in new.items() if row.observed_at == taken}
        before: dict[tuple[int, str], Previous] = {}
        if derive:
            before = previous_samples(
                connection, list(own), minute=minute, cadence=_CADENCE, before=taken
            )
        records += [
            _record(row, before.get((one, row.container_id)), minute, one)
            for one, row in own.items()
        ]
    connection.execute(insert(table), records)
    touch_series(connection, dict.fromkeys(new, (minute, minute)))
    mark_dirty(connection, FAMILY, [minute])


def _record(
    row: ContainerRow, previous: Previous | None, minute: int, series_id: int
) -> dict[str, Any]:
    """The columns: what the node said, and what follows from it and the sample before."""
    cpu = None
    if row.cpu_total_ns is not None and row.cpu_system_ns is not None:
        cpu = CpuCounters(row.cpu_total_ns, row.cpu_system_ns, row.online_cpus or 0)
    usage = Usage(
        cpu=cpu, cpu_percent=row.cpu_percent, **{name: getattr(row, name) for name in _COPIED}
    )
    container = Container(
        container_id=row.container_id,
        name=row.container,
        image=row.image or "",
        labels={},
        state=row.state,
        restarts=row.restarts,
        read_after_s=0.0,
        health=row.health,
        failing_streak=row.failing_streak,
        exit_code=row.exit_code,
        oom_killed=row.oom_killed,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cpu_limit_cores=row.cpu_limit_cores,
        usage=usage,
    )
    record = sample_row(
        container,
        previous,
        minute=minute,
        series_id=series_id,
        observed_at=row.observed_at,
        since=row.observed_at - 2 * _CADENCE,
    )
    given = {name: getattr(row, name) for name in _GIVEN}
    return record | {name: value for name, value in given.items() if value is not None}
