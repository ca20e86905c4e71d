"""What a backtest says of each evaluation, exactly."""

from __future__ import annotations

import pytest

from tests.monitoring.backtest.files import at, backtest, gap, sample, samples, states


def test_five_minutes_at_one_minute_are_five_pending_evaluations_and_the_sixth_fires(tmp_path):
    assert states(tmp_path, {"for": "5m"}, samples([1, *[6] * 6]), (0, 6)) == ".PPPPPF"


def test_conditions_are_strict_and_a_pending_alert_ends_at_the_first_clear_evaluation(tmp_path):
    assert states(tmp_path, {"for": "2m"}, samples([6, 6, 5, 6, 6, 6]), (0, 5)) == "PP.PPF"


def test_a_for_shorter_than_the_interval_still_costs_one_pending_evaluation(tmp_path):
    lines = samples([6] * 11)
    assert states(tmp_path, {"for": "1m"}, lines, (0, 10), 5) == "PFF"


def test_keep_firing_for_keeps_a_firing_alert_and_no_pending_one(tmp_path):
    policy = {"keep_firing_for": "2m"}
    assert states(tmp_path, policy, samples([6, 1, 1, 1, 1]), (0, 4)) == "FFF.."
    assert states(tmp_path, policy, samples([6, 1, 6, 1, 1, 1]), (0, 5)) == "FFFFF."
    policy = {"keep_firing_for": "2m", "for": "2m"}
    assert states(tmp_path, policy, samples([6, 1, 6, 6, 6, 1]), (0, 5)) == "P.PPFF"


def test_between_the_bounds_a_firing_alert_stays_and_a_pending_one_ends(tmp_path):
    policy = {"recover": "< 3"}
    assert states(tmp_path, policy, samples([4, 6, 4, 3, 2, 4]), (0, 5)) == ".FFF.."
    assert states(tmp_path, {**policy, "for": "1m"}, samples([6, 4, 6, 6, 4]), (0, 4)) == "P.PFF"


@pytest.mark.parametrize(
    ("no_data", "expected"), [("hold", "FFFFF."), ("ok", "F...F."), ("resolve", "F...F.")]
)
def test_a_missing_value_does_what_the_policy_says(tmp_path, no_data, expected):
    policy = {"no_data": no_data}
    assert states(tmp_path, policy, samples([6, None, None, None, 6, 1]), (0, 5)) == expected


def test_missing_holds_a_clear_series_clear_and_lets_clocks_run(tmp_path):
    assert states(tmp_path, {"for": "2m"}, samples([1, None, 6, None, None, 6]), (0, 5)) == "..PPFF"


def test_no_data_alert_goes_through_pending(tmp_path):
    policy = {"no_data": "alert", "for": "2m"}
    assert states(tmp_path, policy, samples([1, None, None, None, 1]), (0, 4)) == ".PPF."


def test_no_data_resolve_ends_at_once_and_ok_is_kept_firing(tmp_path):
    lines = samples([6, None, None, None])
    policy = {"keep_firing_for": "2m"}
    assert states(tmp_path, {**policy, "no_data": "resolve"}, lines, (0, 3)) == "F..."
    assert states(tmp_path, {**policy, "no_data": "ok"}, lines, (0, 3)) == "FFF."


def test_before_its_first_sample_a_series_is_inactive_whatever_no_data_says(tmp_path):
    lines = samples([None, None, 1, None])
    assert states(tmp_path, {"no_data": "alert"}, lines, (0, 3)) == "...F"


def test_a_forgotten_series_resolves(tmp_path):
    policy = {"forget": "3m"}
    assert states(tmp_path, policy, samples([6, *[None] * 5]), (0, 5)) == "FFF..."


def test_a_gap_covers_the_bucket_ends_after_from_until_to_and_shows_no_state(tmp_path):
    lines = [*samples([6] * 6), gap(at(1), at(3))]
    assert states(tmp_path, {}, lines, (0, 5)) == "FF??FF"


def test_unknown_evaluations_stop_the_clock_of_for(tmp_path):
    lines = [*samples([1, 6, 6, 6, 6, 6, 6]), gap(at(2), at(4))]
    assert states(tmp_path, {"for": "3m"}, lines, (0, 6)) == ".PP??PF"


def test_a_gap_in_a_short_lookback_makes_it_unknown_and_in_a_long_one_only_its_newest(tmp_path):
    lines = [*samples([1] * 40), gap(at(20), at(21))]
    short = states(tmp_path, {"window": "3m"}, lines, (19, 26))
    assert short == "..???..."
    assert states(tmp_path, {"window": "20m"}, lines, (19, 26)) == "..?....."


def test_every_series_is_unknown_in_a_gap_even_one_that_has_not_begun(tmp_path):
    lines = [*samples([1] * 4, k="a"), *samples([1], k="b", begin=3), gap(at(0), at(1))]
    found = backtest(tmp_path, {}, lines, (0, 3))["states"]
    assert [one["states"] for one in found] == [".?..", ".?.."]


def test_a_gap_of_another_signal_changes_nothing(tmp_path):
    lines = [*samples([6] * 3), gap(at(0), at(2), signal="other")]
    assert states(tmp_path, {}, lines, (0, 2)) == "FFF"


def test_too_few_samples_are_a_missing_value(tmp_path):
    policy = {"window": "3m", "min_samples": 2}
    assert states(tmp_path, policy, samples([6, 6, None, None, 6, 6]), (0, 5)) == ".FFFFF"
    policy["no_data"] = "ok"
    assert states(tmp_path, policy, samples([6, 6, None, None, 6, 6]), (0, 5)) == ".FF..F"


@pytest.mark.parametrize(
    ("aggregate", "condition", "expected"),
    [
        (None, "> 5", "..F.F"),
        ("last", "> 5", "..F.F"),
        ("max", "> 5", "..FFF"),
        ("min", "< 2", "FFF.."),
        ("avg", ">= 3", "..FFF"),
        ("sum", "> 11", "....F"),
        ("count", ">= 3", "..FFF"),
        ("quantile", "> 1.8", ".FFFF"),
    ],
)
def test_each_aggregate_over_the_window(tmp_path, aggregate, condition, expected):
    policy = {"window": "3m", "condition": condition}
    if aggregate:
        policy["aggregate"] = aggregate
    if aggregate == "quantile":
        policy["quantile"] = 0.9
    lines = samples([1, 2, 6, 3, 7])
    assert states(tmp_path, policy, lines, (0, 4)) == expected


def test_a_signal_is_a_count_where_it_is_summed_and_then_missing_is_zero(tmp_path):
    lines = samples([9, None, None, 1])
    assert states(tmp_path, {"aggregate": "sum", "condition": "< 1"}, lines, (0, 3)) == ".FF."
    assert states(tmp_path, {"condition": "< 1"}, lines, (0, 3)) == "...."


def test_duplicates_of_a_count_add_and_of_a_gauge_the_last_wins(tmp_path):
    lines = [sample(4, at(0)), sample(3, at(0))]
    summed = backtest(tmp_path, {"aggregate": "sum"}, lines, (0, 0))
    assert [one["value"] for one in summed["transitions"]] == [7.0, 7.0]
    assert states(tmp_path, {}, lines, (0, 0)) == "."
    assert states(tmp_path, {}, [sample(3, at(0)), sample(8, at(0))], (0, 0)) == "F"


def test_times_are_rounded_up_to_the_minute_before_duplicates_are_looked_at(tmp_path):
    lines = [
        sample(9, at(0, 1)),
        sample(1, "2026-03-02T10:02:00.000000001Z"),
        sample(8, "2026-03-02T11:01:59+01:00"),
        sample(2, at(1)),
    ]
    assert states(tmp_path, {}, lines, (0, 3)) == "..F."
    assert states(tmp_path, {}, lines[:3], (0, 3)) == ".FF."
    assert states(tmp_path, {}, [*samples([6] * 5), gap(at(0, 30), at(2, 1))], (0, 4)) == "FF??F"


def test_from_anchors_the_grid(tmp_path):
    lines = samples([6 if minute in (3, 8) else 1 for minute in range(14)])
    assert states(tmp_path, {}, lines, (3, 13), 5) == "FF."
    assert states(tmp_path, {}, lines, (2, 13), 5) == "..."
    found = backtest(tmp_path, {"evaluation_interval": "5m", "for": "5m"}, lines, (3, 13))
    assert found["states"][0]["states"] == "PF."
    assert [one["at"] for one in found["transitions"]] == [at(3), at(8), at(13)]


def test_every_overrides_each_policys_evaluation_interval(tmp_path):
    policy = {"evaluation_interval": "10m"}
    lines = samples([6] * 21)
    assert states(tmp_path, policy, lines, (0, 20)) == "FFF"
    assert states(tmp_path, policy, lines, (0, 20), 4) == "FFFFFF"


def test_the_state_is_empty_at_from_and_earlier_samples_feed_lookbacks_only(tmp_path):
    lines = samples([6, 6, 6, 6])
    assert states(tmp_path, {"for": "2m"}, lines, (1, 3)) == "PPF"
    policy = {"window": "3m", "aggregate": "max"}
    assert states(tmp_path, policy, samples([9, 1, 1, 1]), (1, 3)) == "FF."
    assert states(tmp_path, {"no_data": "alert"}, samples([1, None, None]), (2, 2)) == "F"


def test_series_are_told_apart_by_all_labels_unless_by_says_otherwise(tmp_path):
    lines = [
        *samples([6, 1], host="b", queue="x"),
        *samples([1, 6], host="a", queue="x"),
        *samples([1, 1], queue="y"),
    ]
    found = backtest(tmp_path, {"labels": {"team": "t"}}, lines, (0, 1))
    assert found["states"] == [
        {"policy": "p", "labels": {"host": "a", "queue": "x"}, "states": ".F"},
        {"policy": "p", "labels": {"host": "b", "queue": "x"}, "states": "F."},
        {"policy": "p", "labels": {"queue": "y"}, "states": ".."},
    ]
    found = backtest(tmp_path, {"by": ["queue"], "where": {"host": "?"}}, lines, (0, 1))
    assert found["states"] == [{"policy": "p", "labels": {"queue": "x"}, "states": "FF"}]


def test_series_without_samples_in_the_range_are_listed_too(tmp_path):
    lines = [*samples([1], k="early"), *samples([1], begin=500, k="late")]
    found = backtest(tmp_path, {"forget": "1m"}, lines, (100, 101))
    assert [one["states"] for one in found["states"]] == ["..", ".."]


def test_a_signal_that_the_file_does_not_hold_has_no_series(tmp_path):
    policy = {"signal": "other", "by": ["anything"]}
    assert backtest(tmp_path, policy, samples([6]), (0, 1)) == {
        "states": [],
        "transitions": [],
        "episodes": [],
    }


def test_transitions_and_episodes_of_one_that_fired_one_that_did_not_and_one_still_open(tmp_path):
    lines = samples([6, 1, 7, 7, 1, 8])
    found = backtest(tmp_path, {"for": "1m"}, lines, (0, 5))
    assert [(one["at"], one["from"], one["to"], one["value"]) for one in found["transitions"]] == [
        (at(0), "inactive", "pending", 6.0),
        (at(1), "pending", "inactive", None),
        (at(2), "inactive", "pending", 7.0),
        (at(3), "pending", "firing", 7.0),
        (at(4), "firing", "resolved", None),
        (at(5), "inactive", "pending", 8.0),
    ]
    assert found["episodes"] == [
        {
            "policy": "p",
            "labels": {},
            "active_at": active,
            "fired_at": fired,
            "resolved_at": resolved,
        }
        for active, fired, resolved in [
            (at(0), None, at(1)),
            (at(2), at(3), at(4)),
            (at(5), None, None),
        ]
    ]


def test_without_for_it_is_pending_and_firing_at_the_same_time(tmp_path):
    found = backtest(tmp_path, {}, samples([6]), (0, 0))
    assert [(one["at"], one["to"]) for one in found["transitions"]] == [
        (at(0), "pending"),
        (at(0), "firing"),
    ]


def test_flapping_is_no_transition(tmp_path):
    lines = samples([6, 1] * 10)
    found = backtest(tmp_path, {"flapping": {"lookback": 10, "changes": 2}}, lines, (0, 19))
    assert all(one["from"] != one["to"] for one in found["transitions"])
    assert len(found["transitions"]) == 30


def test_a_composite_is_run_after_what_it_combines(tmp_path):
    policies = [
        {"name": "z", "signal": "s", "by": ["k"]},
        {"name": "y", "signal": "t", "by": ["k", "l"]},
        {"name": "a", "kind": "composite", "all": ["z"], "unless": ["y"], "for": "1m"},
    ]
    lines = [
        *samples([6, 6, 6, 6, 6, 6], k="1"),
        *samples([1, 1, 6, 1, 1, 1], "t", k="1", l="2"),
        *samples([1, 1, 1, 1, 1, 1], k="2"),
        gap(at(4), at(5), "t"),
    ]
    found = backtest(tmp_path, policies, lines, (0, 5))["states"]
    assert [(one["labels"], one["states"]) for one in found if one["policy"] == "a"] == [
        ({"k": "1"}, "PF.PF?"),
        ({"k": "2"}, "......"),
    ]
