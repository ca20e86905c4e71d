"""Histogram quantiles against Prometheus' documented interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.scoring.quantile import histogram_quantile

BOUNDS = (10, 20, 40)


def quantile(q, *buckets):
    return float(histogram_quantile(q, BOUNDS, np.array(buckets, dtype=np.float64)))


def test_it_interpolates_within_the_bucket():
    assert quantile(0.5, 0, 10, 0, 0) == pytest.approx(15)
    assert quantile(0.75, 4, 4, 0, 0) == pytest.approx(15)


def test_the_unbounded_bucket_answers_the_greatest_bound():
    assert quantile(0.99, 1, 0, 0, 99) == 40


def test_no_observation_has_no_quantile():
    assert np.isnan(quantile(0.5, 0, 0, 0, 0))


@given(
    st.lists(st.floats(0.01, 39.9), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
)
def test_it_lies_in_the_bucket_of_the_exact_quantile(values, q):
    counts = np.histogram(values, bins=[0, *BOUNDS, 1e9])[0]
    found = quantile(q, *counts)
    exact = np.sort(values)[max(int(np.ceil(q * len(values))) - 1, 0)]
    bucket = int(np.searchsorted(BOUNDS, exact, side="right"))
    lower = (0, *BOUNDS)[bucket]
    upper = (*BOUNDS, BOUNDS[-1])[bucket]
    assert lower <= found <= upper
