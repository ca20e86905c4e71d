"""Kind cardinality: how many values, in which groups, and while these live."""

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


def policy(**fields):
    base = {
        "name": "p",
        "kind": "cardinality",
        "signal": "requests.count",
        "label": "instance",
        "by": ["service"],
        "window": "2m",
        "condition": "> 1",
    }
    return parse_policy({**base, **fields})


def of(service, instance, *minutes, value=1.0, **labels):
    return ({"service": service, "instance": instance, **labels}, at(*minutes, value=value))


def requests(*series, gaps=()):
    return facts_of("requests", series, gaps)


def test_it_counts_the_values_with_a_sample_in_the_window():
    facts = requests(of("a", "1", 0, 1, 2, 6), of("a", "2", 2), of("a", "3", 2, 3), of("b", "1", 3))
    assert values(policy(), facts, 0, 8) == {
        ("a",): [1, 1, 3, 3, 1, 0, 1, 1],
        ("b",): [0, 0, 0, 1, 1, 0, 0, 0],
    }
    assert timeline(policy(), facts, 0, 8) == {("a",): "..BB....", ("b",): "........"}


def test_a_value_counts_once_however_many_series_have_it():
    facts = requests(of("a", "1", 0, route="/x"), of("a", "1", 0, route="/y"))
    assert values(policy(), facts, 0, 1) == {("a",): [1]}


def test_a_sample_of_zero_is_a_sample():
    facts = requests(of("a", "1", 0, value=0.0))
    assert values(policy(), facts, 0, 1) == {("a",): [1]}


def test_a_gauge_is_sampled_where_it_has_a_value():
    gauge = policy(signal="containers.running", label="container")
    facts = facts_of("running", [({"service": "a", "container": "c"}, at(1, value=0.0))])
    assert values(gauge, facts, 0, 4) == {("a",): [0, 1, 1, 0]}


def test_a_group_without_values_lives_until_it_is_forgotten():
    few = policy(condition="< 2", forget="4m")
    facts = requests(of("a", "1", 2, 3), of("a", "2", 2))
    # in 3 and 4 there are two, in 5 one, and from 6 on none
    assert timeline(few, facts, 0, 10) == {("a",): "....BBBx.."}
    assert values(few, facts, 0, 7)[("a",)] == [0, 0, 2, 2, 1, 0, 0]


def test_a_group_lives_by_the_samples_of_any_value():
    few = policy(condition="< 1", forget="4m", window="1m")
    facts = requests(of("a", "1", 0), of("a", "2", 3), gaps=[(4, 5)])
    assert timeline(few, facts, 0, 10) == {("a",): ".BB.?BBBx."}
    # the same from where only the last samples before the range tell of it
    assert timeline(few, facts, 6, 10) == {("a",): "BBx."}


def test_a_series_without_the_label_counts_for_none_and_keeps_its_group_alive():
    few = policy(condition="< 1", forget="4m", window="1m")
    facts = requests(({"service": "a"}, at(0, 1, 2)))
    assert timeline(few, facts, 0, 8) == {("a",): "BBBBBBx."}


def test_recovery_has_its_own_condition():
    facts = requests(of("a", "1", 0, 1, 2), of("a", "2", 0, 2), of("a", "3", 0))
    definition = policy(window="1m", condition="> 2", recover="< 2")
    assert timeline(definition, facts, 0, 4) == {("a",): "B.~."}


def test_delay_shifts_everything():
    facts = requests(of("a", "1", 0), of("a", "2", 0))
    assert timeline(policy(delay="2m"), facts, 0, 6) == {("a",): "..BB.."}


def test_evaluations_lie_on_the_grid():
    facts = requests(of("a", "1", 0, 4), of("a", "2", 1, 5))
    definition = policy(evaluation_interval="3m")
    assert values(definition, facts, 0, 9) == {("a",): [1, 2, 0]}


def test_a_window_that_is_not_covered_is_unknown_and_what_is_uncovered_does_not_count():
    facts = requests(of("a", "1", *range(8)), of("a", "2", 3), gaps=[(3, 4)])
    assert timeline(policy(), facts, 0, 7) == {("a",): "...??.."}
    half = policy(min_coverage=0.5)
    assert timeline(half, facts, 0, 7) == {("a",): "...?..."}
    assert values(half, facts, 4, 6) == {("a",): [1, 1]}


def test_by_default_series_are_told_apart_by_all_other_labels():
    assert policy(by=None).group_labels == ("service", "route", "source")
    assert policy(by=[]).group_labels == ()


def test_without_labels_all_are_counted_together():
    facts = requests(of("a", "1", 0), of("b", "2", 0))
    assert timeline(policy(by=[]), facts, 0, 3) == {(): "BB."}


def test_where_leaves_values_out():
    facts = requests(of("a", "1", 0), of("a", "2", 0), of("a", "x", 0))
    assert values(policy(where={"instance": ["1", "x"]}), facts, 0, 1) == {("a",): [2]}


def test_only_what_can_breach_at_zero_is_remembered():
    assert policy().memory_minutes == 0
    assert policy(recover="> 3").memory_minutes == 48 * 60
    assert policy(condition="< 1").memory_minutes == 48 * 60


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": "image"}, "label names the label 'image'"),
        ({"label": "service"}, "by names 'service', whose values are counted"),
        ({"condition": "2"}, "condition\n.*is not a condition"),
        ({"recover": "few"}, "recover\n.*is not a condition"),
        ({"window": "90s"}, "window\n.*whole number of minutes"),
        ({"min_coverage": 1.5}, "min_coverage\n"),
        ({"no_data": "alert"}, "no_data\n.*'ok'"),
        ({"aggregate": "sum"}, "aggregate\n"),
    ],
)
def test_a_wrong_definition_is_refused_by_field(fields, message):
    with pytest.raises(ValidationError, match=message):
        policy(**fields)


def test_another_label_makes_other_series():
    assert policy().identity != policy(label="route").identity


def test_coverage_needed_is_that_of_all_windows():
    assert policy().coverage_needed == 1
    assert policy(window="1h").coverage_needed == 0.9
    assert policy(min_coverage=0.3).coverage_needed == 0.3


def test_the_stored_form_is_read_back():
    definition = policy(recover="< 1", min_coverage=0.5, where={"service": "a*"})
    assert parse_policy(stored_form(definition)) == definition


LABELS = [
    {"service": service, "instance": instance} for service in ("a", "b") for instance in ("", "1")
]


def some_policy(data):
    return policy(
        condition=data.draw(st.sampled_from(["> 0", "< 1", "< 2"])),
        recover=data.draw(st.sampled_from([None, "> 1"])),
        forget="7m",
        window=data.draw(st.sampled_from(["1m", "4m"])),
        evaluation_interval=data.draw(st.sampled_from(["1m", "5m"])),
        delay=data.draw(st.sampled_from(["0", "2m"])),
        min_coverage=data.draw(st.sampled_from([None, 0.5])),
    )


@given(st.data())
def test_scoring_in_parts_gives_the_same(data):
    definition = some_policy(data)
    facts = data.draw(some_facts("requests", LABELS))
    assert_same_in_parts(definition, facts, data.draw(cuts(definition)))


@given(st.data())
def test_a_changed_minute_changes_only_evaluations_in_its_reach(data):
    assert_same_out_of_reach(some_policy(data), *data.draw(changed_facts("requests", LABELS)))
