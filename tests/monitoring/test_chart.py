"""Signals over time: the values that policies see, with what is unknown kept apart from zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
from monitoring.chart import charted, read_chart
from monitoring.facts import UserdbFacts
from monitoring.policy.kinds import parse_policy
from monitoring.scoring.classes import evaluation_times
from monitoring.scoring.registry import score

from tests.monitoring.facts import T0, cover, put_requests, put_sample
from userdb.errors import InvalidRequestError


def chart(store, first, stop, *, step="1m", signal="requests.timeouts", limit=50, **fields):
    what = charted(signal=signal, window=step, **fields)
    with store.read() as connection:
        return read_chart(store, connection, what, T0 + first, T0 + stop, max_series=limit)


def drawn(one):
    """Labels' values → values, None where there is none."""
    return {
        "/".join(labels.values()): [None if math.isnan(v) else v for v in values]
        for labels, values in zip(one.groups, one.values.tolist(), strict=True)
    }


def counts(**by_minute):
    return {T0 + int(m[1:]): {"requests": 10, "timeout": n} for m, n in by_minute.items()}


def test_minutes_nobody_collected_are_unknown_and_collected_ones_without_rows_are_zero(store):
    put_requests(store, counts(m0=1, m4=2), service="a")
    put_requests(store, counts(m1=3), service="b")
    cover(store, T0, T0 + 3)
    cover(store, T0 + 4, T0 + 5)
    found = chart(store, 0, 6, by=["service"])
    assert drawn(found) == {"a": [1, 0, 0, None, 2, None], "b": [0, 3, 0, None, 0, None]}
    assert found.coverage.tolist() == [1, 1, 1, 0, 1, 0]
    assert found.starts.tolist() == list(range(T0, T0 + 6))


def test_steps_are_whole_and_known_only_where_enough_of_them_was_collected(store):
    put_requests(store, counts(m0=1, m4=2, m5=4, m12=8), service="a")
    cover(store, T0, T0 + 8)
    cover(store, T0 + 10, T0 + 15)
    found = chart(store, 2, 12, step="5m", by=["service"])
    assert found.starts.tolist() == [T0, T0 + 5, T0 + 10]
    assert drawn(found) == {"a": [3, None, 8]}
    assert found.coverage.tolist() == [1, 0.6, 1]


def test_gauges_ratios_and_quantiles_have_no_value_where_nothing_was_measured(sqlite_store):
    store = sqlite_store
    put_sample(store, T0, "c", cpu_percent=10.0)
    put_sample(store, T0 + 2, "c", cpu_percent=30.0)
    cover(store, T0, T0 + 3, collector="container_stats", family="container")
    put_requests(store, {T0: {"requests": 4, "timeout": 1}})
    cover(store, T0, T0 + 3)
    cpu = {"signal": "containers.cpu_percent", "by": ["container"]}
    assert drawn(chart(store, 0, 3, **cpu)) == {"c": [10, None, 30]}
    assert drawn(chart(store, 0, 3, step="3m", aggregate="max", **cpu)) == {"c": [30]}
    ratio = chart(store, 0, 3, signal="requests.timeout_ratio", by=["service"])
    assert drawn(ratio) == {"sim": [0.25, None, None]}
    latency = chart(store, 0, 3, signal="requests.latency", quantile=0.9, by=["service"])
    assert drawn(latency) == {"sim": [None, None, None]}


def test_of_too_many_series_those_with_the_highest_peaks_are_kept_and_the_rest_counted(
    sqlite_store,
):
    for service, peak in (("a", 1), ("b", 9), ("c", 5), ("d", 2)):
        put_requests(sqlite_store, counts(m0=peak), service=service)
    cover(sqlite_store, T0, T0 + 1)
    found = chart(sqlite_store, 0, 1, by=["service"], limit=2)
    assert (drawn(found), found.left_out) == ({"b": [9], "c": [5]}, 2)
    narrowed = chart(sqlite_store, 0, 1, by=["service"], where={"service": ["a", "d*"]})
    assert (drawn(narrowed), narrowed.left_out) == ({"a": [1], "d": [2]}, 0)
    assert drawn(chart(sqlite_store, 0, 1, where={"service": "none"})) == {}


def test_reading_in_parts_gives_what_reading_at_once_gives(store, monkeypatch):
    put_requests(store, counts(m0=1, m7=2, m19=3), service="a")
    put_requests(store, counts(m12=5), service="b")
    cover(store, T0, T0 + 15)
    whole = chart(store, 0, 20, step="2m", by=["service"])
    monkeypatch.setattr("monitoring.chart._CELLS_AT_ONCE", 8)
    parts = chart(store, 0, 20, step="2m", by=["service"])
    assert drawn(parts) == drawn(whole)
    assert parts.coverage.tolist() == whole.coverage.tolist()
    assert drawn(whole)["b"] == [0, 0, 0, 0, 0, 0, 5, None, None, None]


def test_a_point_is_what_a_policy_with_that_window_sees(sqlite_store):
    """The same numbers as the evidence of alerts, to the last bit."""
    store = sqlite_store
    random = np.random.default_rng(7)
    for service in ("a", "b"):
        rows = {T0 + m: {"requests": 100, "timeout": int(random.integers(50))} for m in range(60)}
        put_requests(store, rows, service=service)
    cover(store, T0, T0 + 40)
    cover(store, T0 + 44, T0 + 60)
    policy = parse_policy(
        {
            "name": "p",
            "signal": "requests.timeout_ratio",
            "by": ["service"],
            "window": "5m",
            "condition": "> 0",
        }
    )
    with store.read() as connection:
        scores = score(policy, UserdbFacts(store, connection), evaluation_times(5, T0, T0 + 60))
    found = chart(store, 0, 60, step="5m", signal="requests.timeout_ratio", by=["service"])
    expected = np.where(scores.unknown[:, np.newaxis], np.nan, scores.values).T
    np.testing.assert_array_equal(found.values, expected)
    assert np.isnan(expected).any()


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"by": ["nope"]}, "signal", "does not have"),
        ({"signal": "requests.latency"}, "signal", "needs a quantile"),
        ({"signal": "requests.timeout_ratio", "aggregate": "max"}, "signal", "drop aggregate"),
        ({"step": "30s"}, "step", "at least 1m"),
        ({"stop": 3000}, "step", "at most 2,000"),
    ],
)
def test_what_can_not_be_charted_names_the_field(sqlite_store, fields, field, says):
    with pytest.raises(InvalidRequestError, match=says) as caught:
        chart(sqlite_store, **{"first": 0, "stop": 10, **fields})
    assert caught.value.errors[0]["field"] == field


def test_what_is_too_much_to_read_is_refused_and_says_what_to_do(sqlite_store, monkeypatch):
    put_requests(sqlite_store, counts(m0=1))
    monkeypatch.setattr("monitoring.chart._MAX_CELLS", 9)
    with pytest.raises(InvalidRequestError, match="shorten the range, or narrow it with where"):
        chart(sqlite_store, 0, 10)
