"""Kind new_value: what is new, for how long, and when it can't be told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.policy.kinds import parse_policy, stored_form
from monitoring.scoring.facts import Selection
from pydantic import ValidationError

from tests.monitoring.scoring.timeline import (
    BEGIN,
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

A, B = {"exception_type": "A"}, {"exception_type": "B"}
#: Something was there long before, so that what appears later is new.
OLD = ({"exception_type": "old"}, at(-100))


def policy(**fields):
    base = {
        "name": "p",
        "kind": "new_value",
        "signal": "events.count",
        "label": "exception_type",
        "window": "2m",
        "memory": "5m",
    }
    return parse_policy({**base, **fields})


def events(*series, gaps=()):
    return facts_of("events", (OLD, *series), gaps)


def test_a_value_never_seen_breaches_while_its_minute_is_in_the_window():
    # minute 3 is known at 4, and in the windows of 4 and 5
    assert timeline(policy(), events((A, at(3))), 0, 8) == {("A",): "...BB..."}


def test_a_value_that_goes_on_is_new_once():
    assert timeline(policy(), events((A, at(3, 4, 5, 9))), 0, 12)[("A",)] == "...BB......."


def test_a_value_is_new_again_after_the_memory():
    # minutes 3 to 7 are the memory of minute 8, minutes 4 to 8 that of minute 9
    assert timeline(policy(), events((A, at(3, 8))), 0, 12)[("A",)] == "...BB......."
    assert timeline(policy(), events((A, at(3, 9))), 0, 12)[("A",)] == "...BB....BB."


def test_a_sample_before_the_range_is_remembered():
    assert timeline(policy(), events((A, at(3, 8))), 8, 10)[("A",)] == ".."
    assert timeline(policy(), events((A, at(3, 9))), 9, 11)[("A",)] == "BB"


def test_the_value_is_what_was_counted_in_the_window():
    facts = events((A, {3: 5.0, 4: 2.0, 5: 1.0}))
    assert values(policy(), facts, 0, 7)[("A",)] == [0, 0, 0, 5, 7, 3, 1]


def test_the_value_of_what_is_no_count_is_the_minutes_with_a_sample():
    gauge = policy(signal="containers.cpu_percent", label="image")
    facts = facts_of(
        "cpu_percent",
        [({"image": "old"}, at(-100)), ({"image": "i"}, at(3, 4, value=70.0))],
    )
    assert values(gauge, facts, 0, 7) == {("i",): [0, 0, 0, 1, 2, 1, 0]}
    assert timeline(gauge, facts, 0, 7) == {("i",): "...BB.."}


def test_delay_shifts_everything():
    assert timeline(policy(delay="2m"), events((A, at(3))), 0, 8)[("A",)] == ".....BB."


def test_evaluations_lie_on_the_grid():
    definition = policy(window="5m", evaluation_interval="5m")
    assert timeline(definition, events((A, at(3)), (B, at(5))), 0, 15) == {
        ("A",): "B..",
        ("B",): ".B.",
    }


def test_values_are_new_within_their_group():
    facts = events(({**A, "service": "x"}, at(0, 4)), ({**A, "service": "y"}, at(4)))
    assert timeline(policy(by=["service"]), facts, 3, 6) == {("x", "A"): "...", ("y", "A"): ".BB"}
    assert timeline(policy(), facts, 3, 6) == {("A",): "..."}


def test_a_series_without_the_label_has_no_new_value():
    facts = events(({"service": "x"}, at(3)))
    assert timeline(policy(by=["service"]), facts, 0, 6)[("x", "")] == "......"


def test_it_is_quiet_where_too_little_of_the_memory_was_covered():
    # of minutes -1 to 3, the memory of minute 4, one isn't covered
    facts = events((A, at(4)), gaps=[(1, 2)])
    assert timeline(policy(), facts, 3, 7)[("A",)] == "...."
    assert timeline(policy(min_coverage=0.8), facts, 3, 7)[("A",)] == ".BB."
    assert timeline(policy(min_coverage=0.81), facts, 3, 7)[("A",)] == "...."


def test_coverage_of_the_memory_is_that_before_the_sample():
    facts = events((A, at(4)), gaps=[(-2, -1)])
    assert timeline(policy(), facts, 3, 7)[("A",)] == ".BB."
    facts = events((A, at(4)), gaps=[(-1, 0)])
    assert timeline(policy(), facts, 3, 7)[("A",)] == "...."


def test_an_uncovered_newest_minute_is_unknown():
    facts = events((A, at(3)), gaps=[(4, 5)])
    assert timeline(policy(window="3m"), facts, 0, 8)[("A",)] == "...B?B.."


def test_a_value_seen_in_an_uncovered_minute_was_seen():
    facts = events((A, {3: 4.0, 4: 1.0}), gaps=[(3, 4)])
    assert timeline(policy(), facts, 0, 7)[("A",)] == "...?B.."
    assert values(policy(), facts, 4, 5)[("A",)] == [5]


def test_nothing_is_new_where_all_history_begins():
    facts = facts_of("events", [(A, at(3)), (B, at(4))])
    assert timeline(policy(), facts, 0, 8) == {("A",): "........", ("B",): "....BB.."}


def test_what_where_leaves_out_is_history_too():
    facts = facts_of("events", [(A, at(3)), (B, at(4))])
    assert timeline(policy(where={"exception_type": "B"}), facts, 0, 8) == {("B",): "....BB.."}


def test_no_more_minutes_are_read_than_those_of_the_windows():
    asked = []

    class Watched:
        def matrix(self, selection: Selection, first, stop, memory=0):
            asked.append((first - BEGIN, stop - BEGIN, memory))
            return events((A, at(3))).matrix(selection, first, stop, memory)

    timeline(policy(memory="7d", delay="1m"), Watched(), 10, 20)
    # an interval more: whether a series lived one evaluation earlier is known of all kinds
    assert asked == [(7, 19, 7 * 24 * 60)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": "image"}, "label names the label 'image'"),
        ({"by": ["image"]}, "by names the label 'image'"),
        ({"memory": "30s"}, "memory\n.*at least 1m"),
        ({"window": "0"}, "window\n.*at least 1m"),
        ({"forget": "1h"}, "forget\n.*does not apply"),
        ({"no_data": "hold"}, "no_data\n.*'ok'"),
        ({"min_coverage": 0}, "min_coverage\n"),
        ({"evaluation_interval": "5m"}, r"window \(2m\) must not be shorter than .* \(5m\)"),
        ({"condition": "> 1"}, "condition\n"),
    ],
)
def test_a_wrong_definition_is_refused_by_field(fields, message):
    with pytest.raises(ValidationError, match=message):
        policy(**fields)


def test_defaults():
    plain = parse_policy(
        {"name": "p", "kind": "new_value", "signal": "events.count", "label": "exception_type"}
    )
    assert (plain.window_minutes, plain.memory_minutes, plain.min_coverage) == (5, 10080, 0.9)
    assert plain.group_labels == ("exception_type",)
    assert policy(by=["service"]).group_labels == ("service", "exception_type")
    assert policy(by=["exception_type", "service"]).group_labels == ("exception_type", "service")


def test_the_memory_lies_before_the_lookback():
    definition = policy(delay="3m")
    assert (definition.lookback_minutes, definition.memory_minutes) == (3 + 2, 5)


def test_another_label_makes_other_series():
    one = policy(by=["service"])
    assert one.identity != policy(by=["exception_type"], label="service").identity


def test_the_stored_form_is_read_back():
    definition = policy(by=["service"], memory="30d", min_coverage=0.5)
    assert parse_policy(stored_form(definition)) == definition


LABELS = [A, B, {"service": "x"}, {**A, "service": "x"}]


def some_policy(data):
    return policy(
        by=data.draw(st.sampled_from([[], ["service"]])),
        window="3m",
        evaluation_interval=data.draw(st.sampled_from(["1m", "3m"])),
        delay=data.draw(st.sampled_from(["0", "2m"])),
        min_coverage=data.draw(st.sampled_from([0.2, 0.6, 1.0])),
    )


@given(st.data())
def test_scoring_in_parts_gives_the_same(data):
    definition = some_policy(data)
    facts = data.draw(some_facts("events", LABELS))
    assert_same_in_parts(definition, facts, data.draw(cuts(definition)))


@given(st.data())
def test_a_changed_minute_changes_only_evaluations_in_its_reach(data):
    assert_same_out_of_reach(some_policy(data), *data.draw(changed_facts("events", LABELS)))


@given(st.sets(st.integers(0, 30)), st.integers(1, 9), st.integers(1, 9))
def test_it_is_new_exactly_where_the_memory_holds_no_sample(minutes, memory, window):
    definition = policy(memory=f"{memory}m", window=f"{window}m")
    new = [m for m in minutes if not any(m - memory <= other < m for other in minutes)]
    expected = "".join(
        "B" if any(m < t <= m + window for m in new) else "." for t in np.arange(1, 45)
    )
    found = timeline(definition, events((A, at(*minutes))), 0, 44)
    assert found.get(("A",), "." * 44) == expected
