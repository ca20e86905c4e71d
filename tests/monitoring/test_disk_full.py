"""A full disk: what is held stays whole, the window is unknown, and is collected later."""

from __future__ import annotations

from pathlib import Path

import pytest
from monitoring import chain
from monitoring.alerts.read import alert_history
from monitoring.status import read_status
from monitoring.window import Window
from sqlalchemy import event, text

from tests.incident import Incident, whole_hours_ago
from userdb.errors import CollectionError
from userdb.store import Store


def history(store: Store) -> list[tuple[object, str]]:
    with store.read() as connection:
        return [(row.at, row.to_state) for row in alert_history(connection)]


def test_the_chain_goes_on_where_it_was_when_there_is_room_again(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sqlite_store
    incident = Incident(tmp_path / "incident", whole_hours_ago(3))
    incident.folder.mkdir()
    incident.write(60, 300)
    for name, value in incident.environment(str(store.url.url)).items():
        monkeypatch.setenv(name, value)
    now = incident.at(61)
    first, second = (Window(incident.at(a), incident.at(b)) for a, b in ((0, 20), (20, 60)))
    chain.collect("request_logs", first, store, now=now)
    chain.analyze_and_alert(first, store, now=now, send=False)
    before = history(store)
    assert before == incident.expected()[:2]

    def limit(connection: object, _record: object) -> None:
        # what SQLite then says is what it says of a disk that is full
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")  # type: ignore[attr-defined]

    with store.read() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))
    store.engine.dispose()
    event.listen(store.engine, "connect", limit)
    with pytest.raises(CollectionError, match="database or disk is full"):
        chain.collect("request_logs", second, store, now=now)
    with store.read() as connection:
        assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    assert history(store) == before
    status = read_status(store, now=now, collectors=["request_logs"])
    assert status.collectors[0].missing[-1].start <= second.start

    event.remove(store.engine, "connect", limit)
    store.engine.dispose()
    chain.collect("request_logs", second, store, now=now)
    chain.analyze_and_alert(second, store, now=now, send=False)
    assert history(store) == incident.expected()
