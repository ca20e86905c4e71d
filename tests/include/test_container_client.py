from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from include.container_client import report_container_status
from include.reporting.spool import decode_event
from userdb.models import MonitorEvent
from userdb.store import Store

AT = datetime(2026, 3, 1, 12, 0, 3, tzinfo=UTC)


@pytest.fixture
def reporting(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Reports go to ``store``, and what it doesn't take to ``tmp_path / "spool"``."""
    monkeypatch.setenv("USERDB_URL", store.url.url.render_as_string(hide_password=False))
    monkeypatch.setenv("MONITORING_SPOOL", str(tmp_path / "spool"))
    return monkeypatch


def test_a_report_is_an_event_of_type_container(
    store: Store, reporting: pytest.MonkeyPatch
) -> None:
    mark = report_container_status(
        "was replaced",
        {"reason": "new image"},
        container="sim-3",
        service="sim",
        instance="node-1",
        occurred_at=AT,
    )
    with store.read() as connection:
        event = connection.execute(select(MonitorEvent)).one()
    assert event.event_id == mark
    assert (event.event_type, event.source, event.level) == (
        "container",
        "container_client",
        "info",
    )
    assert (event.message, event.detail) == ("was replaced", {"reason": "new image"})
    assert (event.container, event.service, event.instance) == ("sim-3", "sim", "node-1")
    assert event.occurred_at == AT


def test_an_event_that_is_reported_twice_is_stored_once(
    store: Store, reporting: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        assert report_container_status("started", event_id="start-7") == "start-7"
    with store.read() as connection:
        assert len(connection.execute(select(MonitorEvent)).all()) == 1


def test_an_exception_that_is_handled_comes_along(
    store: Store, reporting: pytest.MonkeyPatch
) -> None:
    try:
        raise OSError("no such image")
    except OSError:
        report_container_status("can't be started", level="error", container="sim-3")
    with store.read() as connection:
        event = connection.execute(select(MonitorEvent)).one()
    assert (event.level, event.exception_type) == ("error", "OSError")


def test_while_userdb_is_away_events_go_to_the_spool(
    reporting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reporting.setenv("USERDB_URL", f"sqlite:///{tmp_path / 'none.sqlite'}")
    mark = report_container_status("stopped", container="sim-3")
    (file,) = (tmp_path / "spool").iterdir()
    event = decode_event(file.read_bytes())
    assert (event.event_id, event.event_type, event.container) == (mark, "container", "sim-3")
