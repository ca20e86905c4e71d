"""Kind burn_rate: pairs of windows, the three-valued or over them, and what has no value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from monitoring.policy.kinds import parse_policy, stored_form
from monitoring.policy.schema import policy_file_schema
from monitoring.scoring.memory import MemoryFacts, Samples
from pydantic import ValidationError

from tests.monitoring.scoring.timeline import (
    BEGIN,
    assert_same_in_parts,
    assert_same_out_of_reach,
    cuts,
    timeline,
    values,
)

A, B = ("a",), ("b",)
SHORT = {"long": "4m", "short": "2m", "factor": 2}
LONG = {"long": "8m", "short": "1m", "factor": 1}


def written(**fields):
    return {
        "name": "p",
        "kind": "burn_rate",
        "errors": "requests.server_errors",
        "total": "requests.count",
        "by": ["service"],
        "objective": 0.9,
        "windows": [SHORT],
        **fields,
    }


def policy(**fields):
    return parse_policy(written(**fields))


def facts_of(gaps=(), **columns):
    """Each column: service to value by minute, or a list of values from minute 0 on."""

    def samples(service, given):
        rows = given if isinstance(given, dict) else dict(enumerate(given))
        minutes = np.array(sorted(rows), dtype=np.int64)
        counted = np.array([rows[minute] for minute in sorted(rows)], dtype=np.float64)
        return Samples({"service": service}, minutes + BEGIN, counted)

    spans = [(first + BEGIN, stop + BEGIN) for first, stop in gaps]
    return MemoryFacts(
        {
            column: [samples(service, given) for service, given in series.items()]
            for column, series in columns.items()
        },
        dict.fromkeys(columns, spans),
    )


ERRORS = [0, 0, 0, 0, 4, 4, 4, 0, 0, 0]


def burst(gaps=()):
    return facts_of(gaps, server_error={"a": ERRORS}, requests={"a": [10] * 10})


def test_both_windows_must_exceed_the_factor_and_the_bound_is_strict():
    # shares, long and short: at 6 0.2 and 0.4, at 7 0.3 and 0.4, at 8 0.3 and 0.2
    assert timeline(policy(), burst(), 0, 10)[A] == "......B..."
    at_the_factor = policy(windows=[{**SHORT, "factor": 3}])
    assert timeline(at_the_factor, burst(), 0, 10)[A] == ".........."


def test_the_value_is_the_burn_rate_of_the_long_window():
    assert values(policy(), burst(), 4, 9)[A] == pytest.approx([1, 2, 3, 3, 2])


def test_the_bound_is_exact_where_one_less_the_objective_is_not():
    # 1 - 0.9 is 0.09999999999999998: six times that is below 0.6
    six = policy(windows=[{**SHORT, "factor": 6}])
    facts = facts_of(server_error={"a": [6] * 4}, requests={"a": [10] * 4})
    assert timeline(six, facts, 0, 4)[A] == "...."


def test_any_pair_is_enough_and_the_value_is_of_the_worst():
    both = policy(windows=[SHORT, LONG])
    assert timeline(both, burst(), 0, 10)[A] == ".....BB..."
    # at 7, min(long, short) / factor is 0.15 of the first, 12/70 of the second
    assert values(both, burst(), 6, 7)[A] == pytest.approx([12 / 70 / 0.1])
    assert values(policy(windows=[SHORT, {**LONG, "factor": 4}]), burst(), 6, 7)[A] == (
        pytest.approx([3])
    )


def test_a_pair_that_is_not_covered_leaves_it_to_the_others_to_breach():
    both = policy(windows=[SHORT, LONG])
    facts = burst(gaps=[(0, 1)])
    # the long pair sees minute 0 up to 8: it says nothing, and only at 7 does the short one breach
    assert timeline(both, facts, 4, 10)[A] == "??B?.."
    assert timeline(policy(), facts, 4, 10)[A] == "..B..."


def test_an_uncovered_newest_minute_is_unknown_to_every_pair():
    assert timeline(policy(windows=[SHORT, LONG]), burst(gaps=[(6, 7)]), 6, 7)[A] == "?"


def test_a_series_alone_breaches_where_others_are_unknown():
    facts = facts_of(
        [(0, 1)],
        server_error={"a": ERRORS, "b": [0] * 10},
        requests={"a": [10] * 10, "b": [10] * 10},
    )
    found = timeline(policy(windows=[SHORT, LONG]), facts, 6, 7)
    assert found == {A: "B", B: "?"}


def test_long_windows_may_miss_a_tenth():
    wide = policy(windows=[{"long": "20m", "short": "1m", "factor": 1}])
    facts = facts_of([(5, 7)], server_error={"a": [9] * 30}, requests={"a": [10] * 30})
    assert timeline(wide, facts, 20, 25)[A] == "BBBBB"
    facts = facts_of([(5, 8)], server_error={"a": [9] * 30}, requests={"a": [10] * 30})
    assert timeline(wide, facts, 20, 26)[A] == "?????B"


def test_below_min_samples_in_the_long_window_there_is_no_value():
    assert timeline(policy(min_samples=31), burst(), 0, 10)[A] == "mmm...B..."
    assert timeline(policy(min_samples=31, no_data="ok"), burst(), 0, 10)[A] == "......B..."
    assert values(policy(min_samples=31), burst(), 0, 4)[A] == [None, None, None, 0]


def test_a_pair_with_a_value_speaks_for_one_without():
    both = policy(windows=[SHORT, LONG], min_samples=50)
    # the short pair never has 50 in its window; the long one has from 5 on
    assert timeline(both, burst(), 0, 10)[A] == "mmmm.BB..."


def test_without_requests_lately_no_budget_is_used_up():
    facts = facts_of(server_error={"a": [9] * 4}, requests={"a": [10] * 4})
    assert timeline(policy(), facts, 0, 8)[A] == "BBBBB..m"


def test_a_series_without_errors_is_clear():
    facts = facts_of(requests={"a": [10] * 4})
    assert timeline(policy(), facts, 0, 4)[A] == "...."


def test_errors_of_several_signals_are_added_up():
    facts = facts_of(
        server_error={"a": [2] * 4, "b": [2] * 4},
        timeout={"a": [2] * 4},
        requests={"a": [10] * 4, "b": [10] * 4},
    )
    sums = policy(errors=["requests.timeouts", "requests.server_errors"])
    assert timeline(sums, facts, 0, 4) == {A: "BBBB", B: "...."}


def test_delay_shifts_all_windows():
    late = policy(windows=[SHORT, LONG], delay="3m")
    assert timeline(late, burst(), 3, 13) == timeline(policy(windows=[SHORT, LONG]), burst(), 0, 10)


def test_a_series_is_gone_even_where_it_is_unknown():
    facts = facts_of([(3, 5)], server_error={"a": [0]}, requests={"a": [10]})
    # three covered minutes after 0 are 1, 2 and 5
    assert timeline(policy(forget="3m", windows=[SHORT, LONG]), facts, 0, 7)[A] == "...??x?"


def test_the_shorthands_are_those_of_the_workbook():
    def pairs(**fields):
        fields = written(objective=0.999, **fields)
        if "windows" not in fields or fields["windows"] is None:
            del fields["windows"]
        return [
            (pair.long_minutes, pair.short_minutes, pair.factor)
            for pair in parse_policy(fields).windows
        ]

    page = [(60, 5, 14.4), (360, 30, 6)]
    assert pairs(windows=None) == pairs(windows="page") == page
    assert pairs(windows="ticket") == [(1440, 120, 3), (4320, 360, 1)]
    assert policy(objective=0.999, windows="ticket", delay="1m").lookback_minutes == 4321


COUNTS = st.lists(st.integers(0, 3), min_size=1, max_size=60)


@st.composite
def some_facts(draw):
    """Errors and requests of two services, and gaps."""
    gaps = draw(st.lists(st.tuples(st.integers(0, 59), st.integers(1, 5)), max_size=3))
    columns = {
        column: {service: draw(COUNTS) for service in draw(st.sets(st.sampled_from("ab")))}
        for column in ("server_error", "requests")
    }
    return columns, [(first, first + length) for first, length in gaps]


VARIANTS = st.fixed_dictionaries(
    {
        "min_samples": st.sampled_from([1, 5]),
        "delay": st.sampled_from(["0", "2m"]),
        "forget": st.sampled_from(["4m", "24h"]),
        "evaluation_interval": st.sampled_from(["1m", "3m"]),
        "no_data": st.sampled_from(["hold", "ok"]),
        "windows": st.sampled_from([[SHORT], [SHORT, LONG]]),
    }
)


@given(st.data(), VARIANTS, some_facts())
def test_a_range_in_parts_gives_what_it_gives_at_once(data, fields, given_facts):
    columns, gaps = given_facts
    definition = policy(**fields)
    assert_same_in_parts(definition, facts_of(gaps, **columns), data.draw(cuts(definition)))


@given(VARIANTS, some_facts(), st.integers(0, 59))
def test_what_a_minute_changes_is_in_reach(fields, given_facts, minute):
    columns, gaps = given_facts
    definition = policy(**{**fields, "forget": "4m"})
    before = facts_of(gaps, **columns)
    after = facts_of([*gaps, (minute, minute + 1)], **columns)
    assert_same_out_of_reach(definition, before, after, minute)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"errors": "requests.nope"}, r"errors\n.*unknown signal"),
        ({"errors": "requests.timeout_ratio"}, r"errors\n.*is a ratio"),
        ({"errors": ["requests.timeouts"] * 2}, r"errors\n.*named twice"),
        ({"errors": []}, "errors"),
        ({"total": "requests.latency"}, r"total\n.*is a quantile"),
        ({"total": "events.count"}, "one family"),
        ({"objective": 1}, "objective"),
        ({"objective": 0}, "objective"),
        ({"windows": "often"}, r"windows\n.*write page or ticket"),
        ({"windows": []}, "windows"),
        ({"windows": [{**SHORT, "short": "4m"}]}, r"windows.0.short\n.*shorter than long .4m"),
        ({"windows": [{**SHORT, "factor": 0}]}, r"windows.0.factor"),
        ({"windows": [{**SHORT, "long": "90s"}]}, r"windows.0.long\n.*whole number of minutes"),
        ({"windows": [{**SHORT, "factor": 10}]}, "can never breach"),
        ({"min_samples": 0}, "min_samples"),
        ({"by": ["planet"]}, "planet"),
        ({"signal": "requests.count"}, "signal"),
    ],
)
def test_a_mistake_names_its_field(fields, says):
    with pytest.raises(ValidationError, match=says):
        policy(**fields)


def test_it_is_stored_as_it_was_written():
    for definition in (policy(), policy(windows="ticket", errors=["requests.timeouts"])):
        assert parse_policy(stored_form(definition)) == definition


def test_the_order_of_errors_is_no_part_of_its_identity():
    names = ["requests.timeouts", "requests.server_errors"]
    assert policy(errors=names).identity == policy(errors=names[::-1]).identity
    assert policy(errors=names).identity != policy().identity


@pytest.mark.parametrize(
    ("fields", "valid"),
    [
        ({}, True),
        ({"windows": "page", "errors": ["requests.timeouts"]}, True),
        ({"windows": "often"}, False),
        ({"windows": []}, False),
        ({"errors": "requests.latency"}, False),
    ],
)
def test_the_schema_takes_what_the_loader_takes(fields, valid):
    schema = Draft7Validator(policy_file_schema())
    assert schema.is_valid({"policies": [written(**fields)]}) == valid
