"""Any order of reports, spooled reports, collections and deletions gives the same counts."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from include.collectors.gateway_exceptions.collector import GatewayExceptions
from include.collectors.gateway_exceptions.settings import GatewayExceptionsSettings
from include.reporting import SpoolTransport
from include.reporting.claims import CLAIMED
from include.reporting.spool import encode_event
from tests.collectors.gateway_exceptions.counts import (
    NOW,
    empty,
    event,
    stored_counts,
    stored_ids,
    straightforward,
    window,
)
from userdb.events import EventRecord, store_events
from userdb.models import MonitorEvent
from userdb.store import Store


@dataclass(frozen=True)
class Report:
    """An event reported to userdb, to the spool, or to both (an answer that got lost)."""

    number: int
    direct: bool
    spooled: bool

    @property
    def event(self) -> EventRecord:
        # an id always means the same event
        number = self.number
        # few minutes and few label sets, so that events meet in one count
        return event(
            f"id{number}",
            (number % 5) * 0.7,
            service=("a", "A", None)[number // 5 % 3],
            level=("error", "warning")[number % 2],
        )


@dataclass(frozen=True)
class Collect:
    first: int
    length: int


@dataclass(frozen=True)
class Abandoned:
    """A crashed collector's claimed file, with an event that may be stored already."""

    number: int


@dataclass(frozen=True)
class Garbage:
    """A torn line in the spool."""


@dataclass(frozen=True)
class Purge:
    """Retention deletes the counted raw events."""


_numbers = st.integers(0, 40)
_reports = st.builds(Report, _numbers, st.booleans(), st.booleans())
_steps = st.one_of(
    _reports,
    _reports,
    st.builds(Collect, st.integers(-2, 3), st.integers(1, 3)),
    st.builds(Abandoned, _numbers),
    st.builds(Garbage),
    st.builds(Purge),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(_steps, max_size=40))
def test_counts_are_those_of_a_straightforward_count(
    store: Store, steps: list[Report | Collect | Abandoned | Garbage | Purge]
) -> None:
    empty(store)
    with tempfile.TemporaryDirectory() as folder:
        spool = SpoolTransport(Path(folder) / "spool")
        collector = GatewayExceptions(GatewayExceptionsSettings(spools=[str(spool.folder)]))
        reported: list[EventRecord] = []
        gone: set[str] = set()
        garbage = rejected = 0
        for at, step in enumerate(steps):
            match step:
                case Report() if step.event.event_id not in gone:
                    # an id that retention deleted is not known any more: not sent again here
                    batch = [step.event]
                    if step.direct or not step.spooled:
                        store.write(lambda connection, b=batch: store_events(connection, b))  # type: ignore[misc]
                    if step.spooled:
                        spool.send(batch)
                    reported += batch
                case Abandoned(number):
                    again = Report(number, True, True).event
                    if again.event_id not in gone:
                        spool.folder.mkdir(exist_ok=True)
                        path = spool.folder / f"h-1-x.jsonl.{at}{CLAIMED}"
                        path.write_bytes(encode_event(again))
                        reported.append(again)
                case Garbage():
                    spool.folder.mkdir(exist_ok=True)
                    with spool.path().open("ab") as file:
                        file.write(b'{"event_id":"torn')
                    garbage += 1
                case Collect(first, length):
                    over = window(first, first + length)
                    report = collector.collect(over, store, now=NOW)
                    assert report.ok
                    rejected += report.rejected
                    counted = [item for item in reported if item.occurred_at < over.end]
                    stored = stored_counts(store)
                    for key, number in straightforward(counted).items():
                        assert stored[key] == number
                case Purge():
                    # what a spool still holds is kept in this model: see Report
                    collector.collect(window(0, 1), store, now=NOW)
                    gone |= _purge(store)
        report = collector.collect(window(0, 20), store, now=NOW)
        collector.collect(window(3, 8), store, now=NOW)
        assert stored_counts(store) == straightforward(reported)
        assert len(set(stored_ids(store))) == len(stored_ids(store))
        assert not list(spool.folder.glob("*.jsonl"))
        assert not list(spool.folder.glob(f"*{CLAIMED}"))
        kept = b"".join(path.read_bytes() for path in spool.folder.glob("*.rejected"))
        assert kept.count(b"torn") == garbage


def _purge(store: Store) -> set[str]:
    with store.read() as connection:
        counted = set(
            connection.scalars(
                select(MonitorEvent.event_id).where(MonitorEvent.rolled_up.is_(True))
            )
        )
    store.write(
        lambda connection: connection.execute(
            delete(MonitorEvent).where(MonitorEvent.rolled_up.is_(True))
        )
    )
    return counted
