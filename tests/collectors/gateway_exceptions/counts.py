"""What the tests of this folder look at: stored counts, and a straightforward count."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from monitoring.window import Window
from sqlalchemy import delete, select

from include.reporting import build_event
from userdb.events import EventRecord
from userdb.models import Base, EventMinute, MonitorEvent, Series
from userdb.store import Store
from userdb.times import to_minute

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW = START + timedelta(hours=2)
LABELS = ("event_type", "level", "service", "instance", "container", "exception_type", "source")

Counts = dict[tuple[int, tuple[tuple[str, str], ...]], int]


def window(first: int, stop: int) -> Window:
    """The window of minutes [first, stop) after START."""
    return Window(START + timedelta(minutes=first), START + timedelta(minutes=stop))


def event(event_id: str, minute: float = 0, **given: Any) -> EventRecord:
    """An event that happened ``minute`` minutes after START."""
    fields = {
        "event_type": "gateway",
        "source": "test",
        "message": "m",
        "occurred_at": START + timedelta(minutes=minute),
        **given,
    }
    return build_event(now=NOW, event_id=event_id, **fields)[0]


def straightforward(events: list[EventRecord]) -> Counts:
    """Events per minute and label set, each id once."""
    unique = {item.event_id: item for item in events}
    return dict(
        Counter(
            (
                to_minute(item.occurred_at),
                tuple(
                    (name, getattr(item, name)) for name in sorted(LABELS) if getattr(item, name)
                ),
            )
            for item in unique.values()
        )
    )


def stored_counts(store: Store) -> Counts:
    """The rows of event_minute, by minute and labels."""
    statement = select(EventMinute.minute, EventMinute.events, Series.labels).join(
        Series, Series.id == EventMinute.series_id
    )
    with store.read() as connection:
        return {
            (row.minute, tuple(sorted(row.labels.items()))): row.events
            for row in connection.execute(statement)
        }


def stored_ids(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(MonitorEvent.event_id).order_by(MonitorEvent.id)))


def empty(store: Store) -> None:
    """Delete every row: hypothesis uses one database for all its examples."""

    def work(connection: Any) -> None:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(delete(table))

    store.write(work)
