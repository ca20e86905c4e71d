"""Replays: a range recomputed at once, from what userdb holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from monitoring.alerts.history import update_alerts
from monitoring.evaluation import score_policies
from monitoring.replay import replay
from monitoring.window import Window
from sqlalchemy import delete, func, select

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests
from tests.monitoring.test_any_order import evidence
from tests.monitoring.test_history import export, quiet, run, steps, timeouts, write_policies
from userdb.errors import PolicyError, WindowError
from userdb.models import Alert, AlertTransition, Dirty, Evaluation, PolicyScore, PolicyState
from userdb.times import from_minute

DAY = 24 * 60
LATER = LONG_AFTER + timedelta(hours=1)


def replayed(store, loaded, first: int, stop: int, *, now=LATER, **options):
    report = replay(store, Window.of_minutes(first, stop), now=now, loaded=loaded, **options)
    assert not report.errors
    return report


@pytest.fixture
def loaded(store, tmp_path):
    """Three days with an incident each, covered and not analysed."""
    loaded = write_policies(tmp_path / "p")
    for day in range(3):
        at = day * DAY
        put_requests(store, quiet(*range(at, at + 60)) | timeouts(*range(at + 20, at + 30)))
    cover(store, T0 - 30, T0 + 3 * DAY)
    return loaded


@pytest.mark.parametrize("budget", [1, 2**30])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_replay_gives_what_windows_give_whatever_its_chunks(store, loaded, budget, workers):
    for low in range(0, 3 * DAY, 6 * 60):
        run(store, loaded, T0 + low, T0 + low + 6 * 60)
    by_windows, proof = export(store), evidence(store)
    assert [to for _, to in steps(store)].count("firing") == 3

    def forget(connection):
        for table in (Alert, AlertTransition, PolicyScore, Evaluation):
            connection.execute(delete(table))

    store.write(forget)
    said = []
    report = replayed(
        store,
        loaded,
        T0,
        T0 + 3 * DAY,
        budget=budget,
        workers=workers,
        progress=lambda done, total, what: said.append((done, total)),
    )
    assert export(store) == by_windows
    assert evidence(store) == proof
    assert {one.what for one in report.changes} == {"added"}
    assert len(report.changes) == len(by_windows["alerts"])
    assert said[-1][0] == said[-1][1]
    # T0 is not midnight, so three days of chunks are four parts
    assert len(said) == 2 * (4 if budget == 1 else 1)


def test_a_replay_alone_scores_each_chunk_once(store, loaded, monkeypatch):
    from monitoring import replay as module

    monkeypatch.delattr(module, "UserdbFacts")  # which only another run's scores call for
    assert replayed(store, loaded, T0, T0 + 3 * DAY, budget=1).changes


def test_a_replay_says_what_it_changed_and_takes_in_what_is_dirty(store, loaded):
    run(store, loaded, T0, T0 + 3 * DAY)
    put_requests(store, quiet(*range(20, 30)))  # the first incident never was
    report = replayed(store, loaded, T0, T0 + 60)
    assert [(one.what, one.policy) for one in report.changes] == [("removed", "timeouts")]
    assert not report.present_changed
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Dirty)) == 0
    assert replayed(store, loaded, T0, T0 + 60, now=LATER + timedelta(hours=1)).changes == ()


def test_the_present_changed_only_if_what_fires_now_did(store, loaded):
    run(store, loaded, T0, T0 + 3 * DAY)
    put_requests(store, timeouts(*range(2 * DAY + 1400, 3 * DAY)))
    now = from_minute(T0 + 3 * DAY)
    assert replayed(store, loaded, T0 + 2 * DAY, T0 + 3 * DAY, now=now).present_changed


def test_todays_definitions_rule_the_range_from_then_on(store, loaded, tmp_path):
    run(store, loaded, T0, T0 + 3 * DAY, now=from_minute(T0 + 3 * DAY))
    blind = (tmp_path / "p" / "p.yaml").read_text().replace('"> 5"', '"> 50"')
    edited = write_policies(tmp_path / "p", blind)
    # an edit rewrites no history by itself
    assert replayed(store, edited, T0, T0 + DAY).changes == ()
    report = replayed(store, edited, T0, T0 + DAY, todays=True, only=["timeouts"])
    assert [one.what for one in report.changes] == ["removed"]
    # later folds keep to it
    run(store, edited, T0, T0 + 3 * DAY, now=LATER)
    assert [to for _, to in steps(store)].count("firing") == 2


def test_what_another_run_scored_meanwhile_is_not_undone(store, loaded, monkeypatch):
    """Another run scores newer facts between the replay's reading and its writing."""
    from monitoring import replay as module

    load = module._Chunk.load

    def load_and_be_overtaken(chunk, own):
        facts = load(chunk, own)
        put_requests(store, quiet(*range(20, 30)))
        window = Window.of_minutes(T0, T0 + 60)
        score_policies(window, store, now=LATER, loaded=loaded)
        return facts

    monkeypatch.setattr(module._Chunk, "load", load_and_be_overtaken)
    replayed(store, loaded, T0, T0 + 60)
    assert steps(store) == []


def test_wrong_ranges_and_names_are_refused(store, loaded):
    with pytest.raises(WindowError, match="ends after now"):
        replayed(store, loaded, T0, T0 + 5, now=from_minute(T0))
    with pytest.raises(PolicyError, match="there is no policy nobody; there are silence, timeouts"):
        replayed(store, loaded, T0, T0 + 5, only=["nobody"])


def test_one_policy_is_replayed_alone(store, loaded):
    replayed(store, loaded, T0, T0 + DAY, only=["timeouts"])
    assert steps(store)
    with store.read() as connection:
        rows = connection.execute(select(PolicyState.policy, PolicyState.watermark)).all()
    assert {row.policy: row.watermark is None for row in rows} == {
        "silence": True,
        "timeouts": False,
    }
    assert not update_alerts(store, now=LATER).errors
