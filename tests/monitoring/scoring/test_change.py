"""Kind change: ratios and differences, their floors, and what there is to compare."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
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
    scores_of,
    some_facts,
    timeline,
    values,
)

DAY = 24 * 60
A, B = ("a",), ("b",)


def policy(**fields):
    base = {
        "name": "p",
        "kind": "change",
        "signal": "requests.count",
        "by": ["service"],
        "window": "2m",
        "threshold": 2,
    }
    return parse_policy({**base, **fields})


def gauge(**fields):
    return policy(
        signal="containers.cpu_percent", **{"window": "1m", "min_reference": 1e-3, **fields}
    )


def requests(*series, gaps=()):
    return facts_of("requests", [({"service": name}, minutes) for name, minutes in series], gaps)


#: pairs of minutes add up to 4, 4, 8, 12, 7, 2, 2
STEPS = dict(enumerate([2.0, 2, 2, 6, 6, 1, 1, 1]))


def test_the_value_is_the_ratio_to_the_window_just_before_and_the_bounds_are_strict():
    facts = requests(("a", STEPS))
    assert values(policy(), facts, 0, 8)[A] == [None, None, None, 2, 3, 0.875, 2 / 12, 2 / 7]
    assert timeline(policy(), facts, 0, 8)[A] == "....B.BB"
    assert timeline(policy(threshold=3.5), facts, 0, 8)[A] == "......B."  # 2/7 is 1/3.5


def test_the_difference_is_in_the_signals_unit_and_its_bounds_are_strict():
    facts = requests(("a", STEPS))
    apart = policy(measure="difference", threshold=4)
    assert values(apart, facts, 0, 8)[A] == [None, None, None, 4, 8, -1, -10, -5]
    assert timeline(apart, facts, 0, 8)[A] == "....B.BB"
    assert timeline(policy(measure="difference", threshold=5), facts, 0, 8)[A] == "....B.B."


@pytest.mark.parametrize(("direction", "expected"), [("up", "....B..."), ("down", "......BB")])
@pytest.mark.parametrize("measure", [{}, {"measure": "difference", "threshold": 4}])
def test_a_direction_leaves_the_other_out(direction, expected, measure):
    facts = requests(("a", STEPS))
    assert timeline(policy(direction=direction, **measure), facts, 0, 8)[A] == expected


def test_worse_is_less_only_where_down_alone_breaches():
    values = np.array([0.25, np.nan, 1.0, 2.0])
    worst = {way: policy(direction=way).worst(values) for way in ("up", "down", "both")}
    assert worst == {"up": 2, "down": 0.25, "both": 0.25}
    values = np.array([-3.0, 2.0])
    assert policy(direction="both", measure="difference").worst(values) == -3


def test_below_a_floor_there_is_nothing_to_compare():
    facts = requests(("a", STEPS))
    assert timeline(policy(min_reference=5), facts, 0, 8)[A] == "......BB"
    assert timeline(policy(min_reference=4), facts, 0, 8)[A] == "....B.BB"
    assert timeline(policy(min_current=3), facts, 0, 8)[A] == "....B..."
    assert timeline(policy(min_current=2), facts, 0, 8)[A] == "....B.BB"


def test_a_ratio_of_counts_needs_a_reference_of_one_a_difference_does_not():
    facts = requests(("a", {0: 0.0, 4: 9.0}))
    assert timeline(policy(), facts, 0, 8)[A] == "......BB"
    assert values(policy(), facts, 0, 8)[A] == [None] * 6 + [0, 0]
    apart = policy(measure="difference", threshold=5)
    assert timeline(apart, facts, 0, 8)[A] == "....BBBB"


def test_a_count_that_stopped_is_a_change_down_to_zero():
    facts = requests(("a", at(0, 1)))
    assert timeline(policy(direction="down"), facts, 0, 6)[A] == "...BB."
    assert values(policy(direction="down"), facts, 3, 5)[A] == [0, 0]


def test_a_reference_that_began_before_the_first_sample_has_no_value():
    """It is not zero: a new series is no change."""
    apart = policy(measure="difference", threshold=1)
    facts = requests(("a", at(*range(9), value=5.0)), ("b", at(*range(4, 9), value=5.0)))
    found = values(apart, facts, 3, 9)
    assert found[A] == [0, 0, 0, 0, 0, 0]
    assert found[B] == [None, None, None, None, 0, 0]
    assert timeline(apart, facts, 3, 9)[B] == "......"


def test_a_count_is_zero_only_where_its_series_lived():

    def apart(forget):
        return policy(measure="difference", threshold=1, compare="day", forget=forget)

    facts = requests(("a", {-DAY - 100: 1.0, 0: 5.0}))
    assert values(apart("2h"), facts, 0, 1)[A] == [5]
    assert values(apart("90m"), facts, 0, 1)[A] == [None]


@pytest.mark.parametrize(("compare", "offset"), [("day", DAY), ("week", 7 * DAY)])
def test_the_reference_is_the_same_window_a_day_or_a_week_earlier(compare, offset):
    then = {minute - offset: float(minute + 1) for minute in range(6)}
    now = at(*range(6), value=6.0)
    facts = requests(("a", {-offset - 1: 0.0, **then, **now}))
    # 12 against 1 + 2, 2 + 3, …
    assert values(policy(compare=compare), facts, 1, 6)[A] == [4, 12 / 5, 12 / 7, 12 / 9, 12 / 11]
    assert timeline(policy(compare=compare), facts, 1, 6)[A] == "BB..."


def test_groups_of_the_reference_are_found_by_their_labels():
    facts = requests(
        ("a", at(-DAY - 1, -DAY, 0, value=1.0)),
        ("aa", at(0)),
        ("b", {-DAY - 1: 0.0, -DAY: 1.0, 0: 5.0}),
        ("0", at(-DAY - 1, -DAY)),
    )
    assert values(policy(compare="day", window="1m", forget="1h"), facts, 0, 1) == {
        A: [1],
        ("aa",): [None],
        B: [5],
    }


def test_an_uncovered_window_or_reference_is_unknown():
    facts = requests(("a", STEPS), gaps=[(3, 4)])
    assert timeline(policy(), facts, 0, 8)[A] == "...????B"
    day = policy(compare="day")
    facts = requests(("a", at(*range(-DAY, 6))), gaps=[(-DAY + 2, -DAY + 3)])
    assert timeline(day, facts, 1, 6)[A] == ".??.."


def test_min_coverage_holds_for_the_reference_too():
    half = policy(min_coverage=0.5)
    facts = requests(("a", STEPS), gaps=[(3, 4)])
    # at 4 the newest minute is not covered, at 6 that of the reference; at 5 it is 6 against 4
    assert timeline(half, facts, 3, 8)[A] == "?.?BB"
    assert timeline(policy(), facts, 3, 8)[A] == "????B"


def test_without_a_value_now_it_is_missing_without_one_before_there_is_no_change():
    facts = facts_of("cpu_percent", [({"service": "a"}, {0: 10.0, 1: 30.0, 3: 10.0})])
    assert timeline(gauge(), facts, 0, 4)[A] == ".Bm."
    assert values(gauge(), facts, 0, 4)[A] == [None, 3, None, None]
    assert timeline(gauge(no_data="ok"), facts, 0, 4)[A] == ".B.."


def test_delay_shifts_both_windows():
    facts = requests(("a", STEPS))
    assert timeline(policy(delay="3m"), facts, 3, 11)[A] == timeline(policy(), facts, 0, 8)[A]


def test_a_forgotten_series_is_gone():
    facts = requests(("a", at(0)))
    assert timeline(policy(forget="3m"), facts, 0, 6)[A] == "...x.."


class Recorded:
    """Facts, and the ranges that were asked for."""

    def __init__(self, facts):
        self._facts = facts
        self.ranges = []

    def matrix(self, selection, first, stop, memory=0):
        self.ranges.append((first, stop))
        return self._facts.matrix(selection, first, stop, memory)


def test_only_the_minutes_needed_are_read():
    facts = requests(("a", at(*range(-DAY, 3 * DAY, 7))))
    for until, reads in ((5, 2), (2 * DAY, 1)):
        recorded = Recorded(facts)
        scores_of(policy(compare="day"), recorded, 0, until)
        assert len(recorded.ranges) == reads
        minutes = sum(stop - first for first, stop in recorded.ranges)
        assert minutes <= min(until * 2 + 10, until + DAY + 10)


LABELS = [{"service": "a"}, {"service": "b"}, {"service": "b", "route": "/x"}]
VARIANTS = st.fixed_dictionaries(
    {
        "direction": st.sampled_from(["up", "down", "both"]),
        "window": st.sampled_from(["1m", "3m"]),
        "delay": st.sampled_from(["0", "2m"]),
        "forget": st.sampled_from(["4m", "24h"]),
        "evaluation_interval": st.sampled_from(["1m", "3m"]),
    }
)


@given(st.data(), VARIANTS, some_facts("requests", LABELS))
def test_a_range_in_parts_gives_what_it_gives_at_once(data, fields, facts):
    definition = policy(measure="difference", threshold=1, **fields)
    assert_same_in_parts(definition, facts, data.draw(cuts(definition)))


@given(st.data(), some_facts("cpu_percent", LABELS))
def test_so_it_does_for_gauges(data, facts):
    definition = gauge(window="3m", forget="5m")
    assert_same_in_parts(definition, facts, data.draw(cuts(definition)))


@settings(max_examples=25)
@given(
    st.lists(st.sets(st.integers(-DAY, 2 * DAY), max_size=40), min_size=2, max_size=2),
    st.lists(st.integers(-DAY, 2 * DAY), max_size=2),
    st.sets(st.integers(1, 2 * DAY - 1), max_size=4),
)
def test_reading_parts_or_all_between_gives_the_same(minutes, gaps, inner):
    facts = requests(
        *zip("ab", (at(*some) for some in minutes), strict=True),
        gaps=[(gap, gap + 20) for gap in gaps],
    )
    definition = policy(compare="day", measure="difference", threshold=1, window="30m", forget="3h")
    assert_same_in_parts(definition, facts, sorted({0, 2 * DAY, *inner}))


@given(VARIANTS, changed_facts("requests", LABELS))
def test_what_a_minute_changes_is_in_reach(fields, changed):
    fields["forget"] = "4m"
    definition = policy(measure="difference", threshold=1, **fields)
    assert_same_out_of_reach(definition, *changed)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"threshold": 1}, r"threshold\n.*must be above 1 for a ratio"),
        ({"threshold": 0, "measure": "difference"}, r"threshold\n.*must be above 0"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": float("inf")}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"compare": "month"}, "compare"),
        ({"measure": "percent"}, "measure"),
        ({"direction": "sideways"}, "direction"),
        ({"min_reference": 0}, r"min_reference\n.*divides by the reference"),
        ({"signal": "requests.timeout_ratio"}, "min_reference is needed .* in share"),
        ({"window": "25h", "compare": "day"}, "window .25h|1d1h. must not be longer than a day"),
        ({"condition": "> 1"}, "condition"),
    ],
)
def test_a_mistake_names_its_field(fields, says):
    with pytest.raises(ValidationError, match=says):
        policy(**fields)


def test_it_is_stored_as_it_was_written():
    definition = policy(compare="week", min_reference=3, direction="down", delay="1m")
    assert parse_policy(stored_form(definition)) == definition
    assert definition.lookback_minutes == 7 * DAY + 3
