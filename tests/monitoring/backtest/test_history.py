"""An edited policy tried on real history, against the policy as it is."""

from __future__ import annotations

import json

import pytest
from monitoring.backtest.comparison import compare
from monitoring.backtest.history import run_on_history
from monitoring.backtest.run import Grid
from monitoring.chain import analyze_and_alert
from monitoring.cli import app
from monitoring.policy.kinds import parse_policy
from monitoring.window import Window
from sqlalchemy import func, select
from typer.testing import CliRunner

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests
from userdb.models import Base
from userdb.times import from_minute

POLICY = {
    "name": "timeouts",
    "signal": "requests.timeouts",
    "by": ["service"],
    "window": "2m",
    "condition": "> 5",
    "for": "2m",
    "flapping": None,
}
#: Minutes with timeouts: a long one, a short one, and one that is still there at the end.
TROUBLE = {*range(4, 12), *range(20, 22), *range(33, 40)}


def at(minutes: int) -> str:
    return f"{from_minute(T0 + minutes):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture
def history(store, tmp_path, monkeypatch):
    """Forty minutes, analysed by the policy as it is."""
    rows = {T0 + m: {"requests": 10, "timeout": 9 * (m in TROUBLE)} for m in range(40)}
    put_requests(store, rows)
    cover(store, T0 - 30, T0 + 40)
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "p.yaml").write_text(json.dumps({"policies": [POLICY]}))
    monkeypatch.setenv("MONITORING_POLICIES", str(folder))
    analyze_and_alert(Window.of_minutes(T0, T0 + 40), store, now=LONG_AFTER, send=False)
    return store


def tried(store, minutes=(1, 40), **edit):
    edited = parse_policy({**POLICY, **edit})
    grid = Grid(T0 + minutes[0], T0 + minutes[1])
    runs, current = run_on_history(store, [edited], grid)
    return compare(runs["timeouts"], current.get("timeouts"))


def spans(comparison):
    return [
        tuple(
            one and (one.fired_at - T0, one.resolved_at and one.resolved_at - T0)
            for one in (change.edited, change.current)
        )
        for change in comparison.changes
    ]


def test_the_policy_as_it_is_differs_in_nothing(history):
    found = tried(history)
    assert found.edited == found.current
    assert (found.edited.episodes, found.edited.pages) == (3, 3)
    assert found.edited.firing_minutes == (14 - 7) + (24 - 23) + (40 - 36)
    assert found.changes == ()


def test_an_edit_loses_gains_and_moves_episodes(history):
    found = tried(history, **{"for": "5m"})
    assert (found.edited.episodes, found.edited.never_fired) == (2, 1)
    assert spans(found) == [((10, 14), (7, 14)), (None, (23, 24)), ((39, None), (36, None))]
    found = tried(history, **{"for": "3m", "keep_firing_for": "20m"})
    assert spans(found) == [((8, None), (7, 14)), (None, (23, 24)), (None, (36, None))]


def test_an_alert_that_flaps_pages_once(history):
    found = tried(history, flapping={})
    assert (found.edited.episodes, found.edited.pages) == (3, 2)
    assert found.changes == ()


def test_a_policy_that_userdb_does_not_know_is_compared_to_nothing(history):
    edited = parse_policy({**POLICY, "name": "new"})
    runs, current = run_on_history(history, [edited], Grid(T0, T0 + 40))
    found = compare(runs["new"], current.get("new"))
    assert found.current is None
    assert found.edited.episodes == 3


def test_nothing_is_written(history):
    def rows():
        with history.read() as connection:
            return {
                name: connection.scalar(select(func.count()).select_from(table))
                for name, table in Base.metadata.tables.items()
            }

    before = rows()
    tried(history, **{"for": "5m"})
    assert rows() == before


def test_several_days_are_scored_a_day_at_a_time_and_come_to_the_same(history, monkeypatch):
    whole = tried(history, (1, 40), **{"for": "5m"})
    monkeypatch.setattr("monitoring.backtest.run.DAY", 7)
    assert tried(history, (1, 40), **{"for": "5m"}) == whole


def test_composites_are_compared_with_what_they_combine(history):
    some = [
        parse_policy(POLICY),
        parse_policy({"name": "both", "kind": "composite", "all": ["timeouts"], "by": []}),
    ]
    runs, current = run_on_history(history, some, Grid(T0 + 1, T0 + 40))
    assert set(current) == {"timeouts"}
    assert compare(runs["both"], None).edited.episodes == 3


def test_the_command_shows_what_the_edit_changes(history, tmp_path, monkeypatch):
    monkeypatch.setenv("USERDB_URL", history.engine.url.render_as_string(hide_password=False))
    file = tmp_path / "edited.yaml"
    file.write_text(json.dumps({"policies": [{**POLICY, "for": "5m"}]}))
    given = ["backtest", "--policy", str(file), "--from-userdb", "--from", at(1), "--to", at(40)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert "episodes that differ" in done.output
    done = CliRunner().invoke(app, [*given, "--format", "json"])
    (found,) = json.loads(done.output)["comparison"]
    assert found["edited"]["pages"] == 2
    assert found["current"]["pages"] == 3
    assert found["changes"][1] == {
        "labels": {"service": "sim"},
        "edited": None,
        "current": {"active_at": at(21), "fired_at": at(23), "resolved_at": at(24)},
    }
    assert CliRunner().invoke(app, [*given, "--series", str(file)]).exit_code == 2
    assert CliRunner().invoke(app, [one for one in given if one != "--from-userdb"]).exit_code == 2
