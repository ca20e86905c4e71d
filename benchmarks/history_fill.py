"""Stored history, written in bulk: of requests, what was collected, evaluated and found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import insert, literal, select, update

from userdb.bulk import bulk_insert
from userdb.models import (
    Alert,
    AlertTransition,
    Base,
    Collection,
    Evaluation,
    PolicyScore,
    RequestMinute,
    Series,
    SourceFile,
)
from userdb.store import Store
from userdb.times import from_minute

DAY = 24 * 60
#: Days before the end of the history of which every minute is stored: policies look back no
#: further than two, for when a series last had a sample.
WHOLE_DAYS = 3
#: Rows of older minutes that are stored at most, about.
OLDER_ROWS = 2_000_000
_ROWS_PER_WRITE = 20_000
_COLLECTORS = ("gateway_exceptions", "request_logs", "container_stats")


def step_of(
    routes: int, days: int, *, whole_days: int = WHOLE_DAYS, older_rows: int = OLDER_ROWS
) -> int:
    """Of how many minutes one is stored, of those before the last ``whole_days`` days."""
    return max(1, -(-routes * max(days - whole_days, 0) * DAY // older_rows))


def fill(
    store: Store,
    days: int,
    until: int,
    policies: Sequence[str],
    *,
    whole_days: int = WHOLE_DAYS,
    older_rows: int = OLDER_ROWS,
) -> int:
    """``days`` before the minute ``until`` of every series that there is; returns the rows of
    counts."""
    first = until - days * DAY
    with store.read() as connection:
        ids = connection.scalars(select(Series.id).where(Series.family == "request")).all()
        file_id = connection.scalar(select(SourceFile.id))
    assert file_id is not None
    whole = max(first, until - whole_days * DAY)
    step = step_of(len(ids), days, whole_days=whole_days, older_rows=older_rows)
    rows = _counts(store, ids, file_id, range(first, whole, step))
    rows += _counts(store, ids, file_id, range(whole, until))
    ends = range(first + 5, until + 1, 5)
    _write(store, Collection, (_collected(name, end) for end in ends for name in _COLLECTORS))
    _write(store, Evaluation, (_evaluated(name, end) for end in ends for name in policies))
    hours = range(first + 60, until - 59, 60)
    found = [(name, hour) for hour in hours for name in policies]
    _write(store, PolicyScore, (_breach(name, hour) for name, hour in found))
    _write(store, Alert, (_alert(name, hour) for name, hour in found))
    _write(store, AlertTransition, (one for name, hour in found for one in _moves(name, hour)))
    store.write(lambda c: c.execute(update(Series).values(first_minute=first)))
    return rows


def _counts(store: Store, ids: Sequence[int], file_id: int, minutes: range) -> int:
    """A block of rows, and the same again for later minutes, which the database copies itself."""
    if not minutes:
        return 0
    size = min(len(minutes), max(1, _ROWS_PER_WRITE // len(ids)))
    random = np.random.default_rng(0)
    block = pd.DataFrame({"minute": np.repeat(minutes[:size], len(ids)), "file_id": file_id})
    block["series_id"] = np.tile(ids, size)
    for column in RequestMinute.__table__.columns:
        if column.name not in block:
            rare = column.name in ("timeout", "server_error", "auth_failure", "client_error")
            block[column.name] = random.poisson(0.05 if rare else 5, len(block))
    store.write(lambda connection: bulk_insert(connection, RequestMinute, block))
    columns = RequestMinute.__table__.c
    names = [column.name for column in columns]
    for at in range(size, len(minutes), size):
        shift = minutes[at] - minutes[0]
        copied = select(
            (columns.minute + literal(shift)).label("minute"), *(columns[n] for n in names[1:])
        ).where(
            columns.minute >= minutes[0],
            columns.minute <= minutes[min(size, len(minutes) - at) - 1],
        )
        store.write(
            lambda c, copied=copied: c.execute(insert(RequestMinute).from_select(names, copied))
        )
    return len(minutes) * len(ids)


def _write(store: Store, model: type[Base], rows: Iterable[Mapping[str, Any]]) -> None:
    remaining = iter(rows)
    while part := list(islice(remaining, _ROWS_PER_WRITE)):
        store.write(lambda connection, part=part: bulk_insert(connection, model, part))


def _collected(collector: str, end: int) -> dict[str, Any]:
    return {
        "attempt": f"{collector}{end}",
        "collector": collector,
        "source": "gateway",
        "window_start": from_minute(end - 5),
        "window_end": from_minute(end),
        "status": "ok",
        "row_count": 1,
        "rejected": 0,
        "late": 0,
        "started_at": from_minute(end),
        "duration_s": 0.1,
    }


def _evaluated(policy: str, end: int) -> dict[str, Any]:
    return {"policy": policy, "first_minute": end - 5, "last_minute": end, "state": {}}


def _breach(policy: str, hour: int) -> dict[str, Any]:
    """Ten minutes of a series that no longer breaches."""
    return {
        "policy": policy,
        "series_id": 1,
        "first_minute": hour,
        "last_minute": hour + 9,
        "evaluation_class": "breach",
        "extreme": 1.0,
        "value_array": np.ones(10, dtype="<f8").tobytes(),
    }


def _episode(policy: str, hour: int) -> str:
    return f"{policy[:20]}{hour:012d}"


def _alert(policy: str, hour: int) -> dict[str, Any]:
    return {
        "id": _episode(policy, hour),
        "policy": policy,
        "series_id": 1,
        "labels": {},
        "severity": "warning",
        "state": "resolved",
        "active_at": from_minute(hour),
        "fired_at": from_minute(hour),
        "resolved_at": from_minute(hour + 10),
        "value": 1.0,
        "annotations": {},
        "policy_version": 1,
        "recorded_at": from_minute(hour + 10),
    }


def _moves(policy: str, hour: int) -> Iterator[dict[str, Any]]:
    for state, to, at in (
        ("inactive", "pending", hour),
        ("pending", "firing", hour),
        ("firing", "resolved", hour + 10),
    ):
        yield {
            "alert_id": _episode(policy, hour),
            "policy": policy,
            "series_id": 1,
            "at": from_minute(at),
            "from_state": state,
            "to_state": to,
            "reason": "condition",
            "recorded_at": from_minute(at),
        }
