"""Kind baseline: the score, its history, and what is quiet."""

from __future__ import annotations

from datetime import timedelta
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring.policy.kinds import parse_policy, stored_form
from monitoring.scoring.baseline import GREATEST, modified_z
from pydantic import ValidationError

from tests.monitoring.scoring.timeline import (
    assert_same_in_parts,
    facts_of,
    scores_of,
    timeline,
    values,
)

DAY = 24 * 60
A, B = ("a",), ("b",)


def policy(**fields):
    base = {
        "name": "p",
        "kind": "baseline",
        "signal": "containers.cpu_percent",
        "by": ["service"],
        "window": "1m",
        "seasons": 5,
    }
    return parse_policy({**base, **fields})


def counts(**fields):
    return policy(signal="requests.count", **fields)


def past(*days, minutes=4, season=DAY):
    """Values of the seasons before, the latest first, in each of the first minutes."""
    return {
        minute - number * season: float(value)
        for number, value in enumerate(days, 1)
        for minute in range(minutes)
        if value is not None
    }


def today(*values):
    return {minute: float(value) for minute, value in enumerate(values) if value is not None}


def cpu(*series, gaps=()):
    return facts_of("cpu_percent", [({"service": name}, rows) for name, rows in series], gaps)


def requests(*series, gaps=()):
    return facts_of("requests", [({"service": name}, rows) for name, rows in series], gaps)


#: median 12, MAD 1: the odd 50 moves neither
USUAL = past(10, 12, 11, 13, 50)


def test_the_value_is_the_modified_z_score():
    facts = cpu(("a", {**USUAL, **today(17, 18, 7, 12)}))
    assert values(policy(), facts, 0, 4)[A] == pytest.approx([3.3725, 4.047, -3.3725, 0])


@pytest.mark.parametrize(
    ("direction", "expected"), [("both", ".B.B"), ("up", ".B.."), ("down", "...B")]
)
def test_a_value_breaches_beyond_the_threshold_in_its_direction(direction, expected):
    facts = cpu(("a", {**USUAL, **today(17, 18, 7, 6)}))
    assert timeline(policy(direction=direction), facts, 0, 4)[A] == expected
    assert policy(direction=direction).worst(np.array([-3.0, 2.0])) == (
        2 if direction == "up" else -3
    )


def test_the_threshold_is_strict():
    facts = cpu(("a", {**USUAL, **today(18)}))
    assert timeline(policy(threshold=6 * 0.6745), facts, 0, 1)[A] == "."
    assert timeline(policy(threshold=4), facts, 0, 1)[A] == "B"


def test_a_week_is_compared_with_weeks():
    rows = {**past(10, 12, 11, 13, 50, season=7 * DAY), **past(90, 90, 90), **today(18)}
    assert values(policy(season="week"), cpu(("a", rows)), 0, 1)[A] == pytest.approx([4.047])


def test_references_that_agree_by_chance_make_no_breach_of_noise():
    # the MAD counts as 5 at least
    facts = cpu(("a", {**past(*[100] * 5), **today(105, 125, 126, 74)}))
    assert values(policy(), facts, 0, 2)[A] == pytest.approx([0.6745, 3.3725])
    assert timeline(policy(), facts, 0, 4)[A] == "..BB"


def test_of_counts_the_spread_is_one_event_at_least():
    alive = {30 - number * DAY: 1.0 for number in range(7)}
    facts = requests(("a", {**alive, **today(5, 6)}))
    assert values(counts(), facts, 0, 2)[A] == pytest.approx([3.3725, 4.047])
    assert timeline(counts(), facts, 0, 2)[A] == ".B"
    # an average of three minutes is in thirds of events
    average = counts(aggregate="avg", window="3m")
    assert values(average, facts, 1, 2)[A] == pytest.approx([0.6745 * 11 / 3 / (1 / 3)])


def test_any_distance_from_a_constant_zero_is_cut_off_and_min_difference_is_its_guard():
    facts = cpu(("a", {**past(*[0] * 5), **today(0.5, 0, 2, 1)}))
    assert values(policy(), facts, 0, 4)[A] == [GREATEST, 0, GREATEST, GREATEST]
    assert timeline(policy(), facts, 0, 4)[A] == "B.BB"
    assert timeline(policy(min_difference=1), facts, 0, 4)[A] == "..BB"


def test_min_difference_is_the_distance_from_the_median_either_way():
    facts = cpu(("a", {**USUAL, **today(18, 18.5, 6, 5)}))
    assert timeline(policy(min_difference=6.5), facts, 0, 4)[A] == ".B.B"


def test_a_series_with_too_few_references_is_unknown_alone():
    facts = cpu(
        ("a", {**past(10, 11, 12), **today(90)}), ("b", {**past(10, None, 12), **today(90)})
    )
    assert timeline(policy(), facts, 0, 1) == {A: "B", B: "?"}
    assert not scores_of(policy(), facts, 0, 1).unknown.any()
    assert timeline(policy(min_seasons=4), facts, 0, 1) == {A: "?", B: "?"}
    assert values(policy(), facts, 0, 1)[B] == [None]


def test_a_count_has_references_from_its_first_sample_on():
    def began(minute):
        return {minute: 1.0, -1: 1.0, **today(90)}

    # in each of the last three days a window of zero
    assert timeline(counts(), requests(("a", began(-3 * DAY))), 0, 1)[A] == "?"
    always = {-number * 600: 1.0 for number in range(1, 9)}  # since 3 d 8 h
    assert timeline(counts(), requests(("a", {**always, **today(90)})), 0, 1)[A] == "B"
    later = {-number * 600: 1.0 for number in range(1, 7)}  # since 2 d 12 h
    assert timeline(counts(), requests(("a", {**later, **today(90)})), 0, 1)[A] == "?"


def test_a_reference_that_is_not_covered_does_not_count():
    # three references are left: 10, 10, 10
    rows = {**past(10, 10, 10, 50, 50), **today(18)}
    gaps = [(-4 * DAY, -4 * DAY + 1), (-5 * DAY, -5 * DAY + 1)]
    assert values(policy(), cpu(("a", rows), gaps=gaps), 0, 1)[A] == pytest.approx(
        [0.6745 * 8 / 0.5]
    )


def test_a_count_that_was_not_covered_is_no_reference_of_zero():
    alive = {30 - number * DAY: 1.0 for number in range(1, 9)}
    facts = [("a", {**alive, **past(40, 40, 40)})]
    gaps = [(-number * DAY, -number * DAY + 1) for number in (4, 5, 6, 7)]
    many = counts(seasons=7, min_seasons=3)
    assert timeline(many, requests(*facts), 0, 1)[A] == "."  # zero, as four of seven days
    assert timeline(many, requests(*facts, gaps=gaps), 0, 1)[A] == "B"  # not 40, as all three


def test_where_too_few_references_are_covered_all_series_are_unknown():
    gaps = [(-number * DAY, -number * DAY + 1) for number in (1, 3, 5)]
    facts = cpu(("a", {**USUAL, **today(90, 90)}), gaps=gaps)
    assert scores_of(policy(), facts, 0, 2).unknown.tolist() == [True, False]
    assert timeline(policy(), facts, 0, 2)[A] == "?B"


def test_an_uncovered_window_is_unknown():
    facts = cpu(("a", {**USUAL, **today(90, 90, 90)}), gaps=[(1, 2)])
    assert timeline(policy(), facts, 0, 3)[A] == "B?B"


def test_without_a_value_it_is_missing_unless_there_is_no_history():
    facts = cpu(("a", {**USUAL, **today(12, None, 12)}), ("b", {**past(9, 9), **today(9, None, 9)}))
    assert timeline(policy(), facts, 0, 3) == {A: ".m.", B: "???"}
    assert timeline(policy(no_data="ok"), facts, 0, 3)[A] == "..."


def test_a_series_that_is_gone_is_not_unknown():
    facts = cpu(("a", {0: 1.0}))
    assert timeline(policy(forget="2m"), facts, -2, 5)[A] == "..??x.."


def test_delay_shifts_the_window_and_its_references():
    facts = cpu(("a", {**USUAL, **today(17, 18, 7, 6)}))
    assert timeline(policy(delay="2m"), facts, 2, 6)[A] == ".B.B"


class Recorded:
    """Facts, and how many minutes were read."""

    def __init__(self, facts):
        self._facts = facts
        self.reads = []

    def matrix(self, selection, first, stop, memory=0):
        self.reads.append(stop - first)
        return self._facts.matrix(selection, first, stop, memory)


def test_only_the_windows_are_read_unless_all_between_is_less():
    facts = cpu(("a", {**USUAL, **today(17)}))
    live, long = Recorded(facts), Recorded(facts)
    scores_of(policy(), live, 0, 5)
    assert len(live.reads) == 6
    assert sum(live.reads) < 40
    scores_of(policy(), long, 0, DAY)
    assert len(long.reads) == 1


@settings(max_examples=25)
@given(
    st.lists(st.sets(st.integers(-4 * 48, 2 * 48), max_size=80), min_size=2, max_size=2),
    st.lists(st.integers(-4 * 48, 2 * 48), max_size=3),
    st.sets(st.integers(1, 2 * 48 - 1), max_size=4),
    st.booleans(),
    st.sampled_from(["90m", "6h", "24h"]),
)
def test_a_range_in_parts_gives_what_it_gives_at_once(half_hours, gaps, inner, gauge, forget):
    """Of half hours: short parts read windows, long ones all between."""
    make = cpu if gauge else requests
    facts = make(
        *(
            (name, {30 * half + half % 7: 1.0 + half % 3 for half in some})
            for name, some in zip("ab", half_hours, strict=True)
        ),
        gaps=[(30 * gap, 30 * gap + 20) for gap in gaps],
    )
    kind = policy if gauge else counts
    definition = kind(
        window="30m", seasons=4, forget=forget, evaluation_interval="10m", threshold=1
    )
    ends = sorted({0, 2 * DAY, *(30 * half for half in inner)})
    assert_same_in_parts(definition, facts, ends)


NUMBERS = st.floats(-1e6, 1e6, allow_nan=False) | st.just(np.nan)


@given(st.lists(NUMBERS, min_size=1, max_size=8), NUMBERS)
def test_the_score_is_that_of_the_median_and_the_mad(references, current):
    there = [value for value in references if not np.isnan(value)]
    _, score = modified_z(np.array([[current]]), np.array(references)[:, None, None], 1.0)
    if not there or np.isnan(current):
        assert np.isnan(score[0, 0])
        return
    middle = median(there)
    spread = max(median(abs(value - middle) for value in there), 0.05 * abs(middle), 1.0)
    expected = np.clip(0.6745 * (current - middle) / spread, -GREATEST, GREATEST)
    assert score[0, 0] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_a_level_shift_is_one_alert_by_default():
    assert policy().cooldown == timedelta(hours=1)
    assert policy(cooldown="0").cooldown == timedelta(0)


def test_history_is_stated_by_default():
    def stated(**fields):
        definition = policy(**{"seasons": None, **fields})
        return definition.seasons_back, definition.seasons_needed

    assert stated() == (14, 7)
    assert stated(season="week") == (6, 3)
    assert stated(seasons=4) == (4, 3)
    assert stated(seasons=9) == (9, 5)
    assert policy(seasons=9, delay="2m").lookback_minutes == 9 * DAY + 3


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"seasons": 2}, "seasons"),
        ({"min_seasons": 2}, "min_seasons"),
        ({"min_seasons": 6}, r"min_seasons .6. must not be more than seasons .5"),
        ({"season": "year"}, "season"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"direction": "left"}, "direction"),
        ({"min_difference": -1}, "min_difference"),
        ({"window": "25h"}, "window .*must not be longer than the season"),
        ({"cooldown": "30s"}, r"cooldown\n.*whole number of minutes"),
        ({"condition": "> 1"}, "condition"),
    ],
)
def test_a_mistake_names_its_field(fields, says):
    with pytest.raises(ValidationError, match=says):
        policy(**fields)


def test_it_is_stored_as_it_was_written():
    for definition in (policy(), policy(season="week", seasons=None, min_difference=2)):
        assert parse_policy(stored_form(definition)) == definition
