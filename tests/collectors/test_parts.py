"""Sources of a collector that processes collect apart: covered when all have been, not before."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from monitoring import dag_layout
from monitoring.collection_log import list_collections
from monitoring.window import Window

from include.collectors.config import Settings, load_settings
from include.collectors.registry import create
from include.collectors.run import run_collector
from userdb.ledger import covered_minutes
from userdb.store import Store

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(minutes=5), NOW)
ALL = [0, 1, 2, 3, 4]


@pytest.fixture
def logs(tmp_path: Path) -> list[str]:
    """The names of three sources, each with a log that begins an hour before the window."""
    names = ["a", "b", "c"]
    for name in names:
        lines = [
            f"10.0.0.7 - - [{WINDOW.start + timedelta(minutes=at):%d/%b/%Y:%H:%M:%S} +0000] "
            f'"GET /{name} HTTP/1.1" 200 1 "-" "t"\n'
            for at in range(-60, 5)
        ]
        (tmp_path / f"{name}.log").write_text("".join(lines))
    return names


def _collect(
    store: Store,
    folder: Path,
    names: Sequence[str],
    only: Collection[str] | None = None,
    run_id: str = "run",
) -> None:
    sources = [
        {"name": name, "paths": [f"{folder}/{name}.log"], "format": "nginx_combined"}
        for name in names
    ]
    settings = Settings.model_validate({"request_logs": {"sources": sources}})
    run_collector(
        "request_logs", WINDOW, store, now=NOW, run_id=run_id, settings=settings, only=only
    )


def _covered(store: Store) -> list[int]:
    minutes = WINDOW.first_minute, WINDOW.stop_minute
    with store.read() as connection:
        return np.flatnonzero(covered_minutes(connection, "request_logs", *minutes)).tolist()


def _ledger(store: Store) -> list[tuple[str, str]]:
    with store.read() as connection:
        return sorted((row.source, row.status) for row in list_collections(connection))


def test_the_chain_maps_a_collector_over_what_it_can_collect_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [{"name": name, "url": f"http://{name}", "key": "k"} for name in ("gw-1", "gw-2")]
    hosts = [{"name": name, "url": f"tcp://{name}:2375"} for name in ("a", "b")]
    logs = [{"name": name, "paths": [f"/{name}.log"], "format": "nginx_combined"} for name in "ab"]
    settings = {
        "gateway_exceptions": {"spools": ["/spool/a", "/spool/b"]},
        "request_logs": {"sources": logs},
        "container_stats": {"hosts": hosts},
        "pull": {"nodes": nodes},
    }
    path = tmp_path / "sources.yaml"
    path.write_text(json.dumps(settings))
    monkeypatch.setenv("MONITORING_SOURCES", str(path))
    apart = {name: list(create(name, load_settings()).sources) for name in settings}
    assert {name: [*chain(*dag_layout.shares(name))] for name in settings} == apart
    assert [name for name, sources in apart.items() if not sources] == ["gateway_exceptions"]


@pytest.mark.parametrize("order", ["abc", "cab"])
def test_parts_cover_together_and_none_before(
    store: Store, logs: list[str], tmp_path: Path, order: str
) -> None:
    for name in order:
        assert _covered(store) == []
        _collect(store, tmp_path, logs, [name])
    assert _covered(store) == ALL
    assert _ledger(store) == [(name, "ok") for name in logs]


def test_a_part_that_was_lost_leaves_the_window_unknown_until_it_is_made_up_for(
    store: Store, logs: list[str], tmp_path: Path
) -> None:
    _collect(store, tmp_path, logs, ["a", "c"])
    assert _covered(store) == []
    assert _ledger(store) == [("a", "ok"), ("b", "awaited"), ("c", "ok")]
    _collect(store, tmp_path, logs, ["b"], "the next run")
    assert _covered(store) == ALL


def test_a_part_that_fails_and_is_tried_again_is_as_good_as_one_that_did_not(
    store: Store, logs: list[str], tmp_path: Path
) -> None:
    away, log = tmp_path / "away", tmp_path / "b.log"
    log.rename(away)
    for name in logs:
        _collect(store, tmp_path, logs, [name])
    assert _covered(store) == []
    assert ("b", "failed") in _ledger(store)
    away.rename(log)
    _collect(store, tmp_path, logs, ["b"])
    assert _covered(store) == ALL


def test_a_source_that_is_new_since_tasks_were_laid_out_is_waited_for(
    sqlite_store: Store, logs: list[str], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        _collect(sqlite_store, tmp_path, logs, [name])
    assert _covered(sqlite_store) == []
    assert ("c", "awaited") in _ledger(sqlite_store)


def test_a_source_that_is_gone_since_tasks_were_laid_out_is_not_missed(
    sqlite_store: Store, logs: list[str], tmp_path: Path
) -> None:
    for name in logs:
        _collect(sqlite_store, tmp_path, ["a", "b"], [name])
    assert _covered(sqlite_store) == ALL
    assert _ledger(sqlite_store) == [("a", "ok"), ("b", "ok")]
