from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from monitoring.window import Window
from sqlalchemy import func, select, text

from include.collectors import registry
from include.collectors.config import Settings
from include.collectors.run import run_collector
from userdb.errors import CollectionError, ConfigError, MonitoringError, WindowError
from userdb.ledger import CollectionReport, Part, covered_minutes
from userdb.models import Collection
from userdb.retention import purge
from userdb.store import Store

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(minutes=5), NOW)


class Broken:
    """A collector that raises what it was made with."""

    name = "broken"
    family = "event"
    sources = ("a", "b")

    def __init__(self, error: Exception) -> None:
        self._error = error

    def collect(
        self,
        window: Window,
        store: Store,
        *,
        now: datetime,
        run_id: str | None = None,
        part: Part | None = None,
    ) -> CollectionReport:
        raise self._error


@pytest.fixture
def broken() -> Iterator[list[Exception]]:
    """The errors that the collector ``broken`` raises."""
    errors: list[Exception] = []
    registry.register("broken")(lambda _section: Broken(errors[0]))
    yield errors
    del registry._factories["broken"]


def _ledger(store: Store) -> list[tuple[str | None, ...]]:
    with store.read() as connection:
        columns = (Collection.source, Collection.status, Collection.message, Collection.run_id)
        return [tuple(row) for row in connection.execute(select(*columns))]


def test_a_collection_is_in_the_ledger_and_covers_its_window(store: Store, tmp_path: Path) -> None:
    settings = Settings.model_validate({"gateway_exceptions": {"spools": [str(tmp_path / "s")]}})
    report = run_collector(
        "gateway_exceptions", WINDOW, store, now=NOW, run_id="r1", settings=settings
    )
    assert report.ok
    assert _ledger(store) == [
        ("userdb", "ok", None, "r1"),
        (str(tmp_path / "s"), "ok", None, "r1"),
    ]
    with store.read() as connection:
        covered = covered_minutes(
            connection, "gateway_exceptions", WINDOW.first_minute - 1, WINDOW.stop_minute + 1
        )
    assert covered.tolist() == [False, *[True] * 5, False]


def test_a_window_that_ends_in_the_future_is_refused(store: Store) -> None:
    with pytest.raises(WindowError, match="ends after now"):
        run_collector("gateway_exceptions", WINDOW, store, now=NOW - timedelta(seconds=1))
    assert _ledger(store) == []


def _events(store: Store, before: datetime) -> CollectionReport:
    """Purge event minutes before a time, and collect the window's events."""
    purge(store, before=before, tables=["event_minute"])
    settings = Settings.model_validate({"gateway_exceptions": {"spools": ["/nowhere"]}})
    return run_collector("gateway_exceptions", WINDOW, store, now=NOW, settings=settings)


def _covered(store: Store) -> list[bool]:
    with store.read() as connection:
        minutes = WINDOW.first_minute, WINDOW.stop_minute
        return covered_minutes(connection, "gateway_exceptions", *minutes).tolist()


def test_a_window_behind_the_retention_floor_is_not_collected(store: Store) -> None:
    report = _events(store, WINDOW.end)
    ((source, status, message, _),) = _ledger(store)
    assert (source, status) == ("*", "unavailable")
    assert message == (
        "[2026-03-01T11:55Z, 2026-03-01T12:00Z) was purged from userdb (event minutes are kept "
        "from 2026-03-01T12:00Z on), and is not collected again"
    )
    assert [one.status for one in report.sources] == ["unavailable"]
    assert _covered(store) == [False] * 5


def test_what_of_a_window_lies_after_the_retention_floor_is_collected(store: Store) -> None:
    report = _events(store, WINDOW.start + timedelta(minutes=2))
    assert _covered(store) == [False, False, True, True, True]
    assert (report.start, report.end) == (WINDOW.start, WINDOW.end)
    assert [(one.source, one.status) for one in report.sources] == [
        ("userdb", "ok"),
        ("/nowhere", "ok"),
        ("*", "unavailable"),
    ]


def test_a_floor_takes_no_coverage_away_and_is_its_familys_alone(store: Store) -> None:
    purge(store, before=NOW, tables=["request_minute"])
    _events(store, WINDOW.start)
    assert _covered(store) == [True] * 5
    _events(store, NOW)
    assert _covered(store) == [True] * 5
    with store.read() as connection:
        ends = connection.execute(
            select(Collection.status, func.count()).group_by(Collection.status)
        ).all()
    assert dict(tuple(row) for row in ends) == {"ok": 2, "unavailable": 1}


def test_an_unexpected_error_is_in_the_ledger_and_names_its_cause(
    store: Store, broken: list[Exception]
) -> None:
    broken.append(ZeroDivisionError("division by zero"))
    with pytest.raises(CollectionError, match=r"broken failed for .*ZeroDivisionError: division"):
        run_collector("broken", WINDOW, store, now=NOW, run_id="r2", settings=Settings())
    assert _ledger(store) == [("*", "failed", "ZeroDivisionError: division by zero", "r2")]
    with store.read() as connection:
        minutes = WINDOW.first_minute, WINDOW.stop_minute
        assert not covered_minutes(connection, "broken", *minutes).any()


def test_a_part_that_fails_as_a_whole_fails_its_own_sources_and_no_others(
    store: Store, broken: list[Exception]
) -> None:
    broken.append(ZeroDivisionError("division by zero"))
    with pytest.raises(CollectionError, match="division by zero"):
        run_collector("broken", WINDOW, store, now=NOW, settings=Settings(), only=["b", "gone"])
    assert [row[:2] for row in _ledger(store)] == [("b", "failed"), ("a", "awaited")]


def test_an_error_of_the_projects_own_is_raised_as_it_is(
    store: Store, broken: list[Exception]
) -> None:
    broken.append(MonitoringError("the engine is gone; start it"))
    with pytest.raises(MonitoringError, match="the engine is gone; start it") as caught:
        run_collector("broken", WINDOW, store, now=NOW, settings=Settings())
    assert caught.value is broken[0]
    assert _ledger(store) == [("*", "failed", "the engine is gone; start it", None)]


def test_broken_settings_leave_the_window_unknown(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITORING_SOURCES", str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match=r"none\.yaml: can't be read"):
        run_collector("gateway_exceptions", WINDOW, store, now=NOW)
    assert [row[:2] for row in _ledger(store)] == [("*", "failed")]


def test_a_userdb_without_a_ledger_hides_no_cause(
    sqlite_store: Store, broken: list[Exception]
) -> None:
    sqlite_store.write(lambda connection: connection.execute(text("DROP TABLE collection")))
    broken.append(ValueError("the first cause"))
    with pytest.raises(CollectionError, match="the first cause") as caught:
        run_collector("broken", WINDOW, sqlite_store, now=NOW, settings=Settings())
    cause = caught.value.__cause__
    assert cause is not None
    assert "the ledger could not be written" in cause.__notes__[0]
