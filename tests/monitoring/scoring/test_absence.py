"""Kind absence: when a series is missed, for how long, and what is declared to exist."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.policy.kinds import parse_policy, stored_form
from pydantic import ValidationError

from tests.monitoring.scoring.timeline import (
    assert_same_in_parts,
    assert_same_out_of_reach,
    at,
    changed_facts,
    cuts,
    facts_of,
    some_facts,
    timeline,
    values,
)

A, B = {"service": "a"}, {"service": "b"}


def policy(**fields):
    base = {
        "name": "p",
        "kind": "absence",
        "signal": "requests.count",
        "by": ["service"],
        "window": "3m",
        "forget": "6m",
    }
    return parse_policy({**base, **fields})


def requests(*series, gaps=()):
    return facts_of("requests", series, gaps)


def test_a_series_that_stopped_is_absent_after_the_window_until_it_is_forgotten():
    facts = requests((A, at(1, 2)))
    # minute 2 is known at 3; minutes 3, 4 and 5 are without a sample at 6, six of them at 9
    assert timeline(policy(), facts, 0, 12) == {("a",): ".....BBBx..."}


def test_it_is_over_with_the_next_sample():
    facts = requests((A, at(0, 6)))
    assert timeline(policy(), facts, 0, 9) == {("a",): "...BBB..."}


def test_the_value_is_the_covered_time_since_the_last_sample():
    facts = requests((A, at(2)))
    expected = [None, None, 0, 1, 2, 3, 4, 5, None]
    assert values(policy(), facts, 0, 9) == {("a",): expected}


def test_a_sample_of_zero_is_a_sample():
    facts = requests((A, at(*range(9), value=0.0)))
    assert timeline(policy(), facts, 0, 9) == {("a",): "." * 9}


def test_uncovered_time_stops_the_clock_and_is_unknown():
    facts = requests((A, at(0)), gaps=[(2, 4)])
    # minutes 1, 4 and 5 are the three covered ones without a sample
    assert timeline(policy(), facts, 0, 11) == {("a",): "..??.BBBx.."}
    assert values(policy(), facts, 0, 11)[("a",)] == [0, 1, 1, 1, 2, 3, 4, 5, None, None, None]


def test_uncovered_time_does_not_put_off_forgetting_beyond_twice_its_length():
    facts = requests((A, at(0)), gaps=[(4, 40)])
    # three covered minutes passed: by the clock it is forgotten when minute 13 is the newest
    assert timeline(policy(), facts, 0, 16) == {("a",): "...B" + "?" * 9 + "x" + "??"}


def test_delay_shifts_everything():
    facts = requests((A, at(1, 2)))
    assert timeline(policy(delay="2m"), facts, 0, 12) == {("a",): ".......BBBx."}


def test_evaluations_lie_on_the_grid():
    facts = requests((A, at(1, 2)))
    assert timeline(policy(evaluation_interval="3m"), facts, 0, 12) == {("a",): ".Bx."}


def test_series_of_a_group_are_one():
    facts = requests(({**A, "route": "/x"}, at(0)), ({**A, "route": "/y"}, at(4)))
    assert timeline(policy(), facts, 0, 8) == {("a",): "...B...B"}


def test_where_leaves_series_out():
    facts = requests((A, at(0)), (B, at(0)))
    assert list(timeline(policy(where={"service": "b*"}), facts, 0, 8)) == [("b",)]


def test_a_declared_series_that_never_appeared_is_absent_from_the_beginning():
    facts = requests((A, at(0, 1, 2)))
    declared = policy(expect=[{"service": "b"}])
    assert timeline(declared, facts, 0, 5)[("b",)] == "BBBBB"
    # twice ``forget`` is looked back at
    assert values(declared, facts, 0, 5)[("b",)] == [12] * 5


def test_a_declared_series_is_absent_only_once_the_window_was_covered():
    facts = requests(gaps=[(-40, 2), (5, 6)])
    declared = policy(expect=[{"service": "b"}])
    assert timeline(declared, facts, 0, 8) == {("b",): "??..B?BB"}
    assert values(declared, facts, 0, 8) == {("b",): [0, 0, 1, 2, 3, 3, 4, 5]}


def test_a_declared_series_is_never_forgotten():
    facts = requests((A, at(0)), (B, at(0)))
    both = timeline(policy(expect=[{"service": "b"}]), facts, 0, 30)
    assert both == {("a",): "...BBBx" + "." * 23, ("b",): "..." + "B" * 27}
    assert values(policy(expect=[{"service": "b"}]), facts, 0, 30)[("b",)][-1] == 12


def test_a_declared_series_that_appears_is_there():
    facts = requests((B, at(3, 4)))
    assert timeline(policy(expect=[{"service": "b"}]), facts, 0, 9) == {("b",): "BBB....BB"}


def test_without_labels_anything_at_all_is_declared():
    facts = requests((A, at(3)))
    assert timeline(policy(by=[], expect=[{}]), facts, 0, 7) == {(): "BBB...B"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"window": "30s"}, "window\n.*at least 1m"),
        ({"forget": "3m"}, r"forget \(3m\) must be longer than window \(3m\)"),
        ({"no_data": "alert"}, "no_data\n.*'ok'"),
        (
            {"expect": [{"service": "a", "route": "/"}]},
            r"expect\[0\] has .* service, route;",
        ),
        ({"expect": [{}]}, r"expect\[0\] has the labels \(none\); .* \(by\): service"),
        ({"expect": [{"service": "a"}, {"service": "a"}]}, r"expect\[1\] is there twice"),
        ({"expect": [{"service": 5}]}, "expect.0.service\n"),
        (
            {"expect": [{"service": "a"}], "where": {"service": ["b*", "c"]}},
            r"expect\[0\] has service 'a', which where leaves out",
        ),
        ({"condition": "> 1"}, "condition\n"),
        ({"by": ["image"]}, "by names the label 'image'"),
        ({"signal": "nothing"}, "signal\n.*unknown signal 'nothing'"),
    ],
)
def test_a_wrong_definition_is_refused_by_field(fields, message):
    with pytest.raises(ValidationError, match=message):
        policy(**fields)


def test_defaults():
    plain = parse_policy({"name": "p", "kind": "absence", "signal": "requests.count"})
    assert (plain.window_minutes, plain.forget_minutes) == (10, 24 * 60)
    assert plain.group_labels == ("service", "route", "instance", "source")
    assert plain.lookback_minutes == 10
    assert plain.memory_minutes == 48 * 60


def test_the_stored_form_is_read_back():
    declared = policy(expect=[{"service": "a"}], delay="1m", where={"service": "a"})
    assert parse_policy(stored_form(declared)) == declared


SERIES = [A, B, {"service": "c"}]


def some_policy(data):
    return policy(
        expect=data.draw(st.sampled_from([[], [{"service": "a"}], [B, {"service": "z"}]])),
        evaluation_interval=data.draw(st.sampled_from(["1m", "5m"])),
        delay=data.draw(st.sampled_from(["0", "2m"])),
    )


@given(st.data())
def test_scoring_in_parts_gives_the_same(data):
    definition = some_policy(data)
    facts = data.draw(some_facts("requests", SERIES))
    assert_same_in_parts(definition, facts, data.draw(cuts(definition)))


@given(st.data())
def test_a_changed_minute_changes_only_evaluations_in_its_reach(data):
    changed = data.draw(changed_facts("requests", SERIES))
    assert_same_out_of_reach(some_policy(data), *changed)
