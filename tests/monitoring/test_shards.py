"""The analysis in parts, side by side, gives what it gives as a whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from monitoring.alerts.history import AlertReport, update_alerts
from monitoring.evaluation import ScoreReport, score_policies
from monitoring.policy.groups import Shard
from monitoring.policy.loader import Policies, load_policies
from monitoring.window import Window
from sqlalchemy import select

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests
from tests.monitoring.test_any_order import POLICIES
from tests.monitoring.test_history import clear, export, quiet, timeouts
from userdb.models import PolicyScore
from userdb.store import Store

PARTS = 3


@pytest.fixture
def loaded(tmp_path: Path) -> Policies:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "all.yaml").write_text(POLICIES)
    found = load_policies(tmp_path / "policies")
    assert not found.errors
    return found


def _facts(store: Store) -> None:
    put_requests(store, quiet(*range(30)) | timeouts(4, 5, 6, 7, 8, 15, 16, 17))
    cover(store, T0 - 60, T0 + 30)
    cover(store, T0 - 60, T0 + 30, collector="container_stats", family="container")


def _analysed(store: Store, loaded: Policies, shard: Shard | None) -> ScoreReport:
    report = score_policies(
        Window.of_minutes(T0, T0 + 30), store, now=LONG_AFTER, loaded=loaded, shard=shard
    )
    assert not report.errors
    return report


def _folded(store: Store, shard: Shard | None) -> AlertReport:
    report = update_alerts(store, now=LONG_AFTER, shard=shard)
    assert not report.errors
    return report


def _result(store: Store) -> tuple[Any, Any]:
    with store.read() as connection:
        evidence = connection.execute(
            select(
                PolicyScore.policy,
                PolicyScore.first_minute,
                PolicyScore.last_minute,
                PolicyScore.evaluation_class,
            )
        ).all()
    return export(store), sorted(tuple(row) for row in evidence)


def test_parts_at_the_same_time_give_the_history_of_the_whole(
    store: Store, loaded: Policies
) -> None:
    _facts(store)
    whole = _analysed(store, loaded, None)
    _folded(store, None)
    expected = _result(store)
    assert len(expected[0]["alerts"]) > 3
    clear(store)
    _facts(store)
    shards = [Shard(number, PARTS) for number in range(PARTS)]
    with ThreadPoolExecutor(PARTS) as pool:
        scored = list(pool.map(lambda shard: _analysed(store, loaded, shard), shards))
        folded = list(pool.map(lambda shard: _folded(store, shard), shards))
    assert _result(store) == expected
    # no part did another's work, and more than one had some
    assert sum(one.policies for one in scored) == whole.policies
    assert sum(one.evaluations for one in scored) == whole.evaluations
    assert sum(one.policies > 0 for one in scored) > 1
    assert sum(one.firing for one in folded) > 0
    _folded(store, None)
    assert _result(store) == expected


def test_the_first_part_tells_what_is_wrong_with_the_files(
    sqlite_store: Store, tmp_path: Path
) -> None:
    (tmp_path / "wrong.yaml").write_text("policies:\n  - {name: wrong, signal: none.such}\n")
    wrong = load_policies(tmp_path)
    told = [
        score_policies(
            Window.of_minutes(T0, T0 + 5),
            sqlite_store,
            now=LONG_AFTER,
            loaded=wrong,
            shard=Shard(number, PARTS),
        ).errors
        for number in range(PARTS)
    ]
    assert [len(errors) for errors in told] == [1, 0, 0]
