"""The retention floor: an evaluation that looks back past it stays as it is, for good."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring.backtest.history import run_on_history
from monitoring.backtest.run import Grid
from monitoring.cli.output import print_status
from monitoring.evaluation import register_versions, score_policies
from monitoring.facts import UserdbFacts
from monitoring.policy.composite import CompositePolicy
from monitoring.policy.versions import read_timeline
from monitoring.replay import replay
from monitoring.retention import frozen_parts, purge_minutes
from monitoring.status import read_status
from monitoring.window import Window
from sqlalchemy import func, select

from tests.monitoring.facts import LONG_AFTER, T0, cover, put_requests
from tests.monitoring.test_any_order import (
    _RELAXED,
    EDITED,
    POLICIES,
    SPAN,
    Story,
    Teller,
    _policies,
    _window,
    evidence,
    on_mariadb,  # noqa: F401  # fixtures
    on_sqlite,  # noqa: F401
)
from tests.monitoring.test_history import export, quiet, run, steps, timeouts, write_policies
from userdb.errors import ConfigError, WindowError
from userdb.models import Dirty, Evaluation, PolicyState, RequestMinute
from userdb.retention import MINUTE_TABLES, purge, read_floors
from userdb.store import open_store
from userdb.times import from_minute

LATER = LONG_AFTER + timedelta(hours=1)
#: Looks back 2 + 1 + 2 x 10 minutes.
TIMEOUTS = """
policies:
  - name: timeouts
    signal: requests.timeout_ratio
    by: [service]
    window: 2m
    condition: "> 0.3"
    for: 2m
    forget: 10m
"""
REACH = 23
#: As long as nothing else is said.
FLOOR = 20
THAWED = FLOOR + REACH


def purge_before(store, minute: int) -> None:
    purge(store, before=from_minute(T0 + minute), tables=MINUTE_TABLES)


def text(minute: int) -> str:
    return f"{from_minute(T0 + minute):%Y-%m-%dT%H:%MZ}"


def score(store, loaded, first: int, stop: int):
    report = score_policies(
        Window.of_minutes(T0 + first, T0 + stop), store, now=LATER, loaded=loaded
    )
    assert not report.errors
    return report


def watermark(store) -> int | None:
    with store.read() as connection:
        found = connection.scalar(select(PolicyState.watermark))
    return None if found is None else found - T0


def evaluated(store) -> list[tuple[int, int]]:
    with store.read() as connection:
        rows = connection.execute(
            select(Evaluation.first_minute, Evaluation.last_minute).order_by(Evaluation.last_minute)
        )
        return [(row.first_minute - T0, row.last_minute - T0) for row in rows]


@pytest.fixture
def loaded(store, tmp_path):
    """An hour and a half with an incident that fires at 12, collected and not evaluated."""
    loaded = write_policies(tmp_path / "p", TIMEOUTS)
    register_versions(store, loaded, now=LONG_AFTER, edits=True)
    put_requests(store, quiet(*range(90)) | timeouts(*range(9, 19)))
    cover(store, T0 - 60, T0 + 90)
    return loaded


def test_late_data_changes_nothing_that_looks_back_past_the_floor(store, loaded):
    run(store, loaded, T0, T0 + 90)
    history, proof = export(store), evidence(store)
    assert steps(store) == [(10, "pending"), (12, "firing"), (21, "resolved")]
    purge_before(store, FLOOR)
    # minutes behind the floor, and some that only frozen evaluations see
    put_requests(store, quiet(*range(9, 19)) | timeouts(*range(21, 30)))
    report = score(store, loaded, 85, 90)
    # each evaluation but those after THAWED; the newest dirty minute is seen until 29 + 1 + REACH
    assert report.frozen == {"timeouts": THAWED - 9}
    assert export(store) == history
    assert evidence(store) == proof
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Dirty)) == 0


def test_the_first_evaluation_that_looks_back_no_further_than_the_floor_follows_late_data(
    store, loaded
):
    run(store, loaded, T0, T0 + 90)
    purge_before(store, FLOOR)
    put_requests(store, timeouts(THAWED - 1, THAWED, THAWED + 1, THAWED + 2))
    run(store, loaded, T0 + 85, T0 + 90, now=LATER)
    # without the floor it would be pending from THAWED on
    assert steps(store)[3:] == [
        (THAWED + 1, "pending"),
        (THAWED + 3, "firing"),
        (THAWED + 5, "resolved"),
    ]


def test_a_backfill_behind_the_floor_evaluates_nothing_and_says_so(store, loaded):
    purge_before(store, FLOOR)
    report = score(store, loaded, 0, 30)
    assert report.frozen == {"timeouts": 30}
    assert report.evaluations == 0
    assert (evaluated(store), watermark(store)) == ([], None)
    report = score(store, loaded, 30, 60)
    assert report.frozen == {"timeouts": THAWED - 30}
    assert report.evaluations == 60 - THAWED
    assert (evaluated(store), watermark(store)) == ([(THAWED, 60)], 60)
    assert report.as_dict()["frozen"] == {"timeouts": THAWED - 30}


def test_a_replay_behind_the_floor_is_refused_and_told_what_works(store, loaded):
    run(store, loaded, T0, T0 + 90)
    history, proof = export(store), evidence(store)
    purge_before(store, FLOOR)

    def replayed(first: int, stop: int = 90, **options):
        return replay(store, _window((first, stop)), now=LATER, loaded=loaded, **options)

    with pytest.raises(WindowError) as refused:
        replayed(0)
    assert str(refused.value) == (
        f"policy timeouts can't be evaluated again after {text(0)}: it looks back 23m, and request "
        f"minutes before {text(FLOOR)} were purged. The earliest --from (window_start) that works "
        f"is {text(THAWED)}"
    )
    # one that ends there as well, or asks for today's definitions, is told the same time
    for options in ({"stop": 10}, {"todays": True}, {"first": THAWED - 1}):
        with pytest.raises(WindowError, match=f"works is {text(THAWED)}"):
            replayed(**{"first": 0, **options})
    assert not replayed(THAWED).errors
    assert export(store) == history
    assert evidence(store) == proof


def test_a_replay_leaves_out_the_policies_that_look_back_too_far(store, tmp_path):
    both = TIMEOUTS + TIMEOUTS.replace("forget: 10m", "forget: 30m").replace(
        "name: timeouts", "name: elephant"
    ).removeprefix("\npolicies:\n")
    loaded = write_policies(tmp_path / "p", both)
    put_requests(store, quiet(*range(90)) | timeouts(*range(60, 70)))
    cover(store, T0 - 60, T0 + 90)
    purge_before(store, FLOOR)
    report = replay(store, _window((THAWED, 90)), now=LATER, loaded=loaded)
    assert list(report.errors) == ["elephant"]
    assert f"works is {text(FLOOR + 63)}" in report.errors["elephant"]
    assert (report.policies, report.evaluations) == (1, 90 - THAWED)
    assert [to for _, to in steps(store)] == ["pending", "firing", "resolved"]
    assert steps(store, "elephant") == []


@pytest.mark.mariadb
def test_minutes_that_are_purged_while_they_are_read_are_not_taken_for_zero(
    mariadb_store, tmp_path, monkeypatch
):
    """SQLite lets nobody delete while another writes; MariaDB does."""
    store = mariadb_store
    loaded = write_policies(tmp_path / "p", TIMEOUTS)
    put_requests(store, quiet(*range(90)) | timeouts(*range(9, 19)))
    cover(store, T0 - 60, T0 + 90)
    run(store, loaded, T0, T0 + 90)
    proof = evidence(store)
    matrix = UserdbFacts.matrix

    def purge_and_read(*arguments):
        other = open_store(store.url.url.render_as_string(hide_password=False))
        purge_before(other, FLOOR)
        other.close()
        return matrix(*arguments)

    monkeypatch.setattr(UserdbFacts, "matrix", purge_and_read)
    report = score(store, loaded, 0, 90)
    assert report.frozen == {"timeouts": THAWED}
    assert evidence(store) == proof


def test_minutes_that_are_purged_while_a_replay_scores_stop_that_policy(store, loaded, monkeypatch):
    from monitoring import replay as module

    run(store, loaded, T0, T0 + 90)
    proof = evidence(store)
    load = module._Chunk.load

    def purge_and_load(chunk, own):
        purge_before(store, FLOOR)
        return load(chunk, own)

    monkeypatch.setattr(module._Chunk, "load", purge_and_load)
    report = replay(store, _window((0, 90)), now=LATER, loaded=loaded)
    assert f"works is {text(THAWED)}" in report.errors["timeouts"]
    assert evidence(store) == proof


def test_a_backtest_on_history_behind_the_floor_is_refused(store, loaded):
    purge_before(store, FLOOR)
    with pytest.raises(WindowError, match=f"works is {text(THAWED + 1)}"):
        run_on_history(store, loaded.policies, Grid(T0 + THAWED, T0 + 90))
    run_on_history(store, loaded.policies, Grid(T0 + THAWED + 1, T0 + 90))


def test_minutes_that_a_policy_still_looks_at_are_not_purged(store, loaded):
    now = from_minute(T0 + 90)
    late = timedelta(minutes=30)

    def purged(minutes: int):
        return purge_minutes(store, keep=timedelta(minutes=minutes), now=now, late=late)

    with pytest.raises(
        ConfigError,
        match="after 52m: policy timeouts looks back 23m, and a run after downtime 30m further; "
        r"keep them for 1 days at least \(minute_days, table_days\)",
    ):
        purged(52)
    with store.read() as connection:
        assert read_floors(connection) == {}
        assert connection.scalar(select(func.min(RequestMinute.minute))) == T0
    assert purged(53) == {"request_minute": 37, "event_minute": 0, "container_sample": 0}
    # what runs at that time, and half an hour ago, is still evaluated
    assert score(store, loaded, 60, 90).frozen == {}


def test_status_shows_what_was_purged(store, loaded, capsys):
    assert read_status(store, now=LATER, collectors=[]).kept_since == {}
    purge(store, before=from_minute(T0 + FLOOR), tables=["request_minute"])
    state = read_status(store, now=LATER, collectors=[])
    assert state.kept_since == {"request": from_minute(T0 + FLOOR)}
    print_status(state)
    assert "request minutes before 2026-03-02 10:20Z were purged" in capsys.readouterr().out


# --- in any order, across a purge -----------------------------------------------------------------

#: Policies that look back some minutes only, so that a purge divides the span.
SHORT, SHORT_EDITED = (
    known.replace("- name: timeouts\n", "- name: timeouts\n    forget: 4m\n").replace(
        "- name: ratio\n", "- name: ratio\n    forget: 5m\n"
    )
    for known in (POLICIES, EDITED)
)


@dataclass(frozen=True)
class Purge:
    """What happens around a purge. Minutes count from T0.

    Attributes:
        story: the facts, and in which batch each arrives.
        early: steps before the purge.
        floor: the first minute that is kept.
        late: steps after it; all windows are among them.
    """

    story: Story
    early: Sequence[tuple[str, Any]]
    floor: int
    late: Sequence[tuple[str, Any]]


@st.composite
def purges(draw: st.DrawFn) -> Purge:
    cuts = sorted({0, SPAN, *draw(st.lists(st.integers(1, SPAN - 1), max_size=3))})
    windows = list(pairwise(cuts))
    batches = [("facts", number) for number in range(3)]
    early = draw(st.lists(st.sampled_from(batches), max_size=2, unique=True))
    before = draw(st.lists(st.sampled_from(windows), max_size=3))
    crashes = st.tuples(st.sampled_from(windows), st.integers(1, 60))
    late = [
        *(one for one in batches if one not in early),
        *(("window", one) for one in windows),
        *(("crash", one) for one in draw(st.lists(crashes, max_size=1))),
        *(("replay", one) for one in draw(st.lists(st.sampled_from(windows), max_size=1))),
    ]
    begin, length = draw(st.integers(0, SPAN - 1)), draw(st.integers(0, 4))
    story = Story(
        timeouts=draw(st.lists(st.sampled_from([None, 0, 3, 9]), min_size=SPAN, max_size=SPAN)),
        memory=draw(st.dictionaries(st.integers(0, SPAN - 1), st.integers(1, 9), max_size=9)),
        gap=range(begin, min(begin + length, SPAN)),
        batches=draw(st.lists(st.integers(0, 2), min_size=SPAN, max_size=SPAN)),
        resolved=(),
        early=(),
        late=(),
        threads=False,
    )
    return Purge(
        story,
        [*draw(st.permutations([*early, ("cover", None)])), *(("window", one) for one in before)],
        draw(st.integers(1, 24)),
        draw(st.permutations(late)),
    )


def take(teller: Teller, story: Story, step: tuple[str, Any]) -> None:
    """A step after a purge: a replay may be refused."""
    what, argument = step
    if what != "replay":
        teller.take(story, step)
        return
    with suppress(WindowError):
        report = replay(teller.store, _window(argument), now=LONG_AFTER, loaded=teller.loaded)
        assert all("can't be evaluated again" in why for why in report.errors.values())


def classes(store, policies) -> dict[tuple[str, int, str], tuple[str, float | None]]:
    """Class and value by policy, evaluation time and fingerprint of the labels."""
    found = {}
    for name, first, last, mark, kind, _, values in evidence(store):
        steps_ = range(first, last + 1, policies[name].interval)
        numbers = np.frombuffer(values, dtype="<f8").tolist() or [None] * len(steps_)
        for at, value in zip(steps_, numbers, strict=True):
            found[name, at, mark] = kind, value
    return found


def frozen_times(store, policies) -> dict[str, set[int]]:
    with store.read() as connection:
        floors = read_floors(connection)
        return {
            name: {
                at
                for part in frozen_parts(read_timeline(connection, name), floors, T0, T0 + SPAN)
                for at in range(part.after + 1, part.until + 1)
            }
            for name in policies
        }


def settled(policy, policies, frozen: dict[str, set[int]]) -> int:
    """Up to when, without a hole, nothing of a policy can change any more."""
    if isinstance(policy, CompositePolicy):
        return min(settled(policies[name], policies, frozen) for name in policy.operands)
    return next(at for at in range(T0, T0 + SPAN + 1) if at + 1 not in frozen[policy.name])


def transitions(store, until: dict[str, int]):
    return [
        one
        for one in export(store)["transitions"]
        if one["at"] <= from_minute(until[one["policy"]])
    ]


def check(tellers: tuple[Teller, Teller], case: Purge, folder) -> None:
    once, often = tellers
    for teller in tellers:
        teller.before = _policies(folder / "short", SHORT)
        teller.after = _policies(folder / "short-edited", SHORT_EDITED)
        teller.begin()
        teller.edit()
    policies = {policy.name: policy for policy in once.after.policies}
    over_signals = {n for n, one in policies.items() if not isinstance(one, CompositePolicy)}
    for batch in range(3):
        once.take(case.story, ("facts", batch))
    once.take(case.story, ("cover", None))
    once.run((0, SPAN))

    for step in case.early:
        often.take(case.story, step)
    purge_before(often.store, case.floor)
    frozen = frozen_times(often.store, policies)
    # an edit ends alerts also behind the floor, once something after it was evaluated
    last = T0 + max((until for _, until in evaluated(often.store)), default=0)
    until = {name: min(settled(one, policies, frozen), last) for name, one in policies.items()}
    before, history = classes(often.store, policies), transitions(often.store, until)
    for step in case.late:
        take(often, case.story, step)
    often.run([argument for what, argument in case.late if what == "window"][-1])

    after, whole = classes(often.store, policies), classes(once.store, policies)
    for name in over_signals:
        was, now, would = (_own(found, name, frozen[name]) for found in (before, after, whole))
        assert now.frozen == was.frozen, name
        assert now.others == would.others, name
    assert transitions(often.store, until) == history


@dataclass(frozen=True)
class Own:
    """A policy's classes, at times that are frozen and at others."""

    frozen: list[Any]
    others: list[Any]


def _own(found, name: str, frozen: set[int]) -> Own:
    items = sorted((key[1:], value) for key, value in found.items() if key[0] == name)
    return Own(
        [one for one in items if one[0][0] in frozen],
        [one for one in items if one[0][0] not in frozen],
    )


@settings(_RELAXED, max_examples=8)
@given(case=purges())
def test_in_any_order_history_before_a_purge_stays_and_the_rest_is_right(
    on_sqlite,  # noqa: F811
    tmp_path,
    case,
):
    check(on_sqlite, case, tmp_path)


@pytest.mark.mariadb
@settings(_RELAXED, max_examples=4)
@given(case=purges())
def test_in_any_order_history_before_a_purge_stays_on_mariadb(
    on_mariadb,  # noqa: F811
    tmp_path,
    case,
):
    check(on_mariadb, case, tmp_path)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@settings(_RELAXED, max_examples=1000)
@given(case=purges())
def test_in_a_thousand_orders_history_before_a_purge_stays(
    on_sqlite,  # noqa: F811
    tmp_path,
    case,
):
    check(on_sqlite, case, tmp_path)
