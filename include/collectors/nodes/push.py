"""A batch that a node pushed: stored in one transaction with what it says it covers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitoring.window import Window
from sqlalchemy import Connection

from include.collectors.nodes import containers, requests
from include.collectors.nodes.counts import FAMILY
from include.collectors.nodes.tally import MAX_AGE, MAX_AHEAD, Tally
from include.collectors.nodes.wire import ContainerRow, Covered, Malformed, MinuteRow, RequestRow
from userdb.ledger import (
    MAX_SAMPLES,
    CollectionReport,
    Rejected,
    SourceReport,
    collected_minutes,
    record,
)
from userdb.store import Store
from userdb.times import from_minute, to_minute

#: Longer ranges are said in parts.
MAX_COVERED = timedelta(days=1)


@dataclass(frozen=True)
class Pushed:
    """What became of a batch: a tally for each of its lists, by name, and of what it covers.

    ``covered`` is None where the batch covers nothing; where it said so, ``refused`` says why.
    """

    tallies: dict[str, Tally]
    covered: Window | None
    refused: str | None = None


def push_requests(
    store: Store,
    node: str,
    *,
    rows: Sequence[RequestRow | Malformed] = (),
    minutes: Sequence[MinuteRow | Malformed] = (),
    covered: Covered | None = None,
    expected: Sequence[str] = (),
    now: datetime,
) -> Pushed:
    """Store raw rows and stated minutes of requests.

    Args:
        covered: the minutes of which the node has now said all.
        expected: all nodes that push; a minute is covered when each of them has covered it.

    Raises:
        UserdbUnavailable: userdb can't be reached; nothing is stored.
    """

    def work(connection: Connection) -> dict[str, Tally]:
        # minutes first: what is stated whole isn't counted from rows
        stated = requests.store_minutes(connection, node, minutes, now=now)
        return {
            "requests": requests.store_requests(connection, node, rows, now=now),
            "minutes": stated,
        }

    return _store(store, node, FAMILY, work, covered, expected, now)


def push_containers(
    store: Store,
    node: str,
    *,
    rows: Sequence[ContainerRow | Malformed],
    covered: Covered | None = None,
    expected: Sequence[str] = (),
    now: datetime,
) -> Pushed:
    """Store samples of containers; ``covered`` and ``expected`` as in ``push_requests``.

    Raises:
        UserdbUnavailable: userdb can't be reached; nothing is stored.
    """

    def work(connection: Connection) -> dict[str, Tally]:
        return {"containers": containers.store_containers(connection, rows, node=node, now=now)}

    return _store(store, node, containers.FAMILY, work, covered, expected, now)


def _store(
    store: Store,
    node: str,
    family: str,
    work: Callable[[Connection], dict[str, Tally]],
    covered: Covered | None,
    expected: Sequence[str],
    now: datetime,
) -> Pushed:
    window, refused = _window(covered, now)

    def transaction(connection: Connection) -> dict[str, Tally]:
        tallies = work(connection)
        if window is not None:
            _cover(connection, node, family, window, tallies, expected, now)
        return tallies

    return Pushed(store.write(transaction), window, refused)


def _window(covered: Covered | None, now: datetime) -> tuple[Window | None, str | None]:
    """What is covered, up to now; or why it isn't."""
    if covered is None:
        return None, None
    if covered.end - covered.start > MAX_COVERED:
        return None, "covered is longer than a day; say it in parts"
    if covered.end > now + MAX_AHEAD:
        return None, "covered.to lies in the future: correct the node's clock"
    if covered.start < now - MAX_AGE:
        return None, "covered.from is more than 30 days ago"
    end = min(to_minute(covered.end), to_minute(now))
    if end <= to_minute(covered.start):
        return None, "covered.from lies in the future: correct the node's clock"
    return Window.of_minutes(to_minute(covered.start), end), None


def _cover(
    connection: Connection,
    node: str,
    family: str,
    window: Window,
    tallies: dict[str, Tally],
    expected: Sequence[str],
    now: datetime,
) -> None:
    """Write the ledger, unless it says the same already: the batch may have been sent twice."""
    collector = f"push.{family}"
    known = collected_minutes(connection, collector, window.first_minute, window.stop_minute)
    if node in known and known[node].all():
        return
    samples = [
        Rejected(f"{name}[{one.index}]", f"{one.field}: {one.message}", one.id or "")
        for name, tally in tallies.items()
        for one in tally.rejected
    ]
    own = SourceReport(
        node,
        "ok",
        rows=sum(tally.count("stored") for tally in tallies.values()),
        rejected=len(samples),
        samples=tuple(samples[:MAX_SAMPLES]),
    )
    others = [
        SourceReport(name, "unavailable", message=f"named as expected when {node} pushed")
        for name in expected
        if name != node
    ]
    report = CollectionReport(
        collector=collector,
        start=from_minute(window.first_minute),
        end=from_minute(window.stop_minute),
        sources=(own, *others),
        started_at=now,
        duration_s=0.0,
    )
    record(connection, report, family, None)
