from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from monitoring.window import Window
from sqlalchemy import delete, func, select, update

from include.collectors.gateway_exceptions import rollup
from include.collectors.gateway_exceptions.collector import GatewayExceptions
from include.collectors.gateway_exceptions.settings import GatewayExceptionsSettings
from include.reporting import SpoolTransport
from tests.collectors.gateway_exceptions.counts import (
    NOW,
    START,
    event,
    stored_counts,
    straightforward,
    window,
)
from userdb.events import EventRecord, store_events
from userdb.ledger import CollectionReport
from userdb.models import Collection, Dirty, EventMinute, MonitorEvent, PolicyState, Series
from userdb.retention import purge
from userdb.store import Store
from userdb.times import to_minute


def put(store: Store, *events: EventRecord) -> None:
    store.write(lambda connection: store_events(connection, events))


def collect(store: Store, over: Window, *spools: Path) -> CollectionReport:
    settings = GatewayExceptionsSettings(spools=[str(path) for path in spools])
    return GatewayExceptions(settings).collect(over, store, now=NOW, run_id="run")


def watch(store: Store) -> None:
    """Have policies of two families, so that dirty marks are written."""
    store.write(
        lambda connection: connection.execute(
            PolicyState.__table__.insert(),  # type: ignore[attr-defined]
            [{"policy": "p", "family": "event"}, {"policy": "other", "family": "request"}],
        )
    )


def take_dirty(store: Store) -> list[tuple[str, int, int]]:
    """Dirty spans in minutes after START, and forget them."""
    first = to_minute(START)

    def work(connection: object) -> list[tuple[str, int, int]]:
        rows = connection.execute(  # type: ignore[attr-defined]
            select(Dirty.policy, Dirty.first_minute, Dirty.last_minute)
        ).all()
        connection.execute(delete(Dirty))  # type: ignore[attr-defined]
        return sorted((row[0], row[1] - first, row[2] - first) for row in rows)

    return store.write(work)


def test_counts_are_by_minute_and_labels(store: Store) -> None:
    events = [
        event("1", 0, service="a"),
        event("2", 0.99, service="a"),
        event("3", 1, service="a"),
        event("4", 1, service="A"),
        event("5", 1, level="warning"),
        event("6", 1, event_type="container", container="c", exception_type="E", instance="i"),
        event("7", 4.9),
        event("8", 5),
    ]
    put(store, *events)
    report = collect(store, window(0, 5))
    assert stored_counts(store) == straightforward(events[:7])
    userdb = report.sources[0]
    assert (userdb.source, userdb.rows, userdb.late) == ("userdb", 7, 0)
    assert collect(store, window(5, 6)).rows == 1
    assert stored_counts(store) == straightforward(events)


def test_a_window_collected_again_changes_nothing(store: Store) -> None:
    watch(store)
    put(store, event("1", 0), event("2", 3))
    collect(store, window(0, 5))
    before = stored_counts(store)
    assert take_dirty(store) == [("p", 0, 0), ("p", 0, 4), ("p", 3, 3)]
    for over in (window(0, 5), window(-5, 3), window(2, 5)):
        collect(store, over)
    assert stored_counts(store) == before
    # coverage is new for the minutes before, and for those only
    assert take_dirty(store) == [("p", -5, -1)]


def test_a_late_event_is_counted_and_only_its_minute_is_dirty(store: Store) -> None:
    collect(store, window(0, 10))
    watch(store)
    put(store, event("late", 3), event("on time", 11))
    report = collect(store, window(10, 12))
    assert (report.sources[0].rows, report.late) == (2, 1)
    assert take_dirty(store) == [("p", 3, 3), ("p", 10, 11), ("p", 11, 11)]


def test_a_late_event_adds_to_a_minute_whose_raw_events_were_deleted(store: Store) -> None:
    events = [event(str(number), 0, service="a") for number in range(5)]
    put(store, *events)
    collect(store, window(0, 5))
    store.write(lambda connection: connection.execute(delete(MonitorEvent)))
    late = event("late", 0, service="a")
    put(store, late)
    collect(store, window(5, 10))
    assert stored_counts(store) == straightforward([*events, late])


def test_series_know_their_first_and_last_minute(store: Store) -> None:
    put(store, event("1", 7), event("2", 3))
    collect(store, window(5, 8))
    put(store, event("3", 1), event("4", 5))
    collect(store, window(5, 8))
    with store.read() as connection:
        rows = connection.execute(
            select(Series.family, Series.labels, Series.first_minute, Series.last_minute)
        ).all()
    first = to_minute(START)
    labels = {"event_type": "gateway", "level": "error", "source": "test"}
    assert [tuple(row) for row in rows] == [("event", labels, first + 1, first + 7)]


def test_empty_and_absent_labels_are_one_series(store: Store) -> None:
    put(store, event("1"), event("2"))
    store.write(
        lambda connection: connection.execute(
            update(MonitorEvent).where(MonitorEvent.event_id == "2").values(service="")
        )
    )
    collect(store, window(0, 1))
    assert list(stored_counts(store).values()) == [2]


def test_many_events_take_several_transactions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "BATCH", 10)
    events = [event(str(number), number % 7, service=f"s{number % 3}") for number in range(40)]
    put(store, *events)
    report = collect(store, window(2, 7))
    assert stored_counts(store) == straightforward(events)
    assert report.sources[0].rows == 40
    assert report.late == sum(item.occurred_at < window(2, 7).start for item in events)
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Collection)) == 2


@pytest.mark.parametrize(
    ("occurred", "reported", "filed"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), NOW - timedelta(hours=1), NOW - timedelta(hours=1)),
        (datetime(2999, 1, 1, tzinfo=UTC), NOW - timedelta(hours=1), NOW - timedelta(hours=1)),
        (datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), NOW),
        (NOW + timedelta(days=2), NOW + timedelta(days=2), NOW),
    ],
)
def test_an_impossible_time_gives_way_to_the_time_of_the_report(
    store: Store, occurred: datetime, reported: datetime, filed: datetime
) -> None:
    given = event("x", occurred_at=occurred, detail={"n": 1})
    fields = {**vars(given), "created_at": reported}
    put(store, EventRecord(**fields), event("fine"))
    report = collect(store, Window(START, NOW))
    source = report.sources[0]
    assert source.message is not None
    assert source.message.startswith("1 events claimed impossible times")
    assert source.samples[0].where == "event x"
    with store.read() as connection:
        row = connection.execute(
            select(MonitorEvent.occurred_at, MonitorEvent.detail).where(
                MonitorEvent.event_id == "x"
            )
        ).one()
    assert row.occurred_at == filed
    assert row.detail == {"n": 1, "claimed_occurred_at": occurred.isoformat()}
    collect(store, Window(START, NOW + timedelta(minutes=1)))
    with store.read() as connection:
        assert connection.scalar(select(func.sum(EventMinute.events))) == 2
    assert collect(store, Window(START, NOW)).sources[0].message is None


def test_an_event_of_the_near_future_waits_for_its_window(store: Store) -> None:
    put(store, event("soon", occurred_at=NOW + timedelta(hours=3)))
    assert collect(store, Window(START, NOW)).sources[0].rows == 0
    later = NOW + timedelta(hours=4)
    report = GatewayExceptions(GatewayExceptionsSettings()).collect(
        Window(NOW, later), store, now=later
    )
    assert (report.sources[0].rows, report.late) == (1, 0)


def test_each_spool_has_its_own_row_and_one_that_fails_stops_no_other(
    store: Store, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    SpoolTransport(good).send([event("a"), event("b")])
    bad.touch()
    report = collect(store, window(0, 5), good, bad)
    rows = [(row.source, row.status, row.rows) for row in report.sources]
    assert rows == [("userdb", "ok", 2), (str(bad), "failed", 0), (str(good), "ok", 2)]
    assert not report.ok
    with store.read() as connection:
        message = connection.scalar(select(Collection.message).where(Collection.source == str(bad)))
    assert message == "Not a directory"


def test_an_event_from_before_the_retention_floor_is_given_up_and_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "BATCH", 2)
    put(store, *(event(f"old {number}", number, service="a") for number in range(5)))
    collect(store, window(0, 10))
    purge(store, before=START + timedelta(minutes=4), tables=["event_minute"])
    watch(store)
    put(store, *(event(f"late {number}", number, service="a") for number in range(5)))
    report = collect(store, window(10, 12))
    userdb = report.sources[0]
    assert (userdb.rows, userdb.late, userdb.rejected) == (1, 1, 4)
    assert userdb.message == (
        f"4 events came too late to be counted: counts from before "
        f"{START + timedelta(minutes=4):%Y-%m-%dT%H:%MZ} were purged"
    )
    # the minute after the floor has both, the minutes before it have nothing, not the late alone
    assert sum(stored_counts(store).values()) == 2
    assert take_dirty(store) == [("p", 4, 4), ("p", 10, 11)]
    assert collect(store, window(12, 13)).sources[0].rejected == 0
