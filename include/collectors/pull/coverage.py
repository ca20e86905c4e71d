"""What the ledger says of pulled data: each node's minutes, as far as it covers them itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np
from monitoring.window import Window
from numpy.typing import NDArray
from sqlalchemy import Connection

from include.collectors.nodes.wire import FAMILIES, Kind
from include.collectors.pull.reading import KindRead
from userdb.ledger import CollectionReport, SourceReport, collected_minutes, new_attempt, record
from userdb.retention import read_floors
from userdb.times import from_minute

_NOT_YET = "the node does not cover this itself yet"


def record_kind(
    connection: Connection,
    *,
    kind: Kind,
    found: Mapping[str, KindRead],
    reach: Window,
    window: Window,
    now: datetime,
    run_id: str | None,
    attempt: str | None = None,
    awaited: Sequence[str] = (),
) -> list[SourceReport]:
    """Write what came of one kind at each node to the ledger, and return it for the window.

    Of ``reach``, which ends with the window, minutes before the window are written where a node
    covers them for the first time. Every part names all nodes: a minute is known when all of them
    have told of it.

    Args:
        attempt: the one that others collect other nodes for; by default each part has its own.
        awaited: these other nodes.
    """
    if not found:
        return []
    family = FAMILIES[kind]
    collector = f"pull.{family}"
    first = max(reach.first_minute, read_floors(connection).get(family, 0))
    stop = reach.stop_minute
    inside = max(window.first_minute - first, 0)
    if first >= stop:
        return [_source(node, kind, one, "ok") for node, one in found.items()]
    before = collected_minutes(connection, collector, first, stop)
    nothing = np.zeros(stop - first, dtype=np.bool_)
    known = {
        node: before.get(node, nothing) | _mask(one, first, stop) for node, one in found.items()
    }
    news = np.logical_or.reduce([known[node] & ~before.get(node, nothing) for node in found])
    news[inside:] = True
    for low, high in _parts(np.vstack([news, *known.values()])):
        if not news[low]:
            continue
        sources = [
            _part(node, one, bool(known[node][low]), last=high == stop - first)
            for node, one in found.items()
        ]
        report = CollectionReport(
            collector=collector,
            start=from_minute(first + low),
            end=from_minute(first + high),
            sources=tuple(sources),
            started_at=now,
            duration_s=0.0,
            attempt=attempt or new_attempt(),
        )
        record(connection, report, family, run_id, awaited=awaited)
    return [
        _source(node, kind, one, "ok" if known[node][inside:].all() else "unavailable")
        for node, one in found.items()
    ]


def _mask(found: KindRead, first: int, stop: int) -> NDArray[np.bool_]:
    """Whether the node covers each minute of [first, stop), by what it said."""
    mask = np.zeros(stop - first, dtype=np.bool_)
    for low, high in found.covered:
        mask[max(low - first, 0) : max(high + 1 - first, 0)] = True
    return mask


def _parts(rows: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Ranges [low, high) within which no row changes."""
    cuts = np.flatnonzero((rows[:, 1:] != rows[:, :-1]).any(axis=0)) + 1
    edges = [0, *cuts.tolist(), rows.shape[1]]
    return list(pairwise(edges))


def _part(node: str, found: KindRead, covers: bool, *, last: bool) -> SourceReport:
    """A node's row for a part; the last part's has the counts of all."""
    status = "ok" if covers else "failed" if found.error else "unavailable"
    message = found.error or (None if covers else _NOT_YET)
    if not last:
        return SourceReport(node, status, message=message)
    return SourceReport(
        node,
        status,
        rows=found.rows,
        rejected=found.rejected,
        samples=tuple(found.samples),
        message=message,
    )


def _source(node: str, kind: Kind, found: KindRead, status: str) -> SourceReport:
    """A node's row of the collector's report."""
    return SourceReport(
        f"{node}/{kind}",
        "failed" if found.error else status,
        rows=found.rows,
        rejected=found.rejected,
        samples=tuple(found.samples),
        message=found.error or (None if status == "ok" else _NOT_YET),
    )
