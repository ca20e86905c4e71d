"""The value that a policy compares, its signal aggregated over each lookback, and how it does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.condition import Condition
from monitoring.policy.signal_policy import MeasuredPolicy
from monitoring.scoring.classes import EvaluationClass
from monitoring.scoring.lookback import Lookback
from monitoring.scoring.quantile import histogram_quantile
from userdb.latency import LATENCY_BOUNDS_MS


def compare(
    values: NDArray[np.float64], condition: Condition, recover: Condition | None
) -> NDArray[np.int8]:
    """BREACH where ``condition`` holds, else BETWEEN where ``recover`` doesn't; as ``values``."""
    classes = np.zeros(values.shape, dtype=np.int8)
    if recover is not None:
        classes[~recover.holds(values)] = EvaluationClass.BETWEEN
    classes[condition.holds(values)] = EvaluationClass.BREACH
    return classes


def measure(policy: MeasuredPolicy, look: Lookback) -> NDArray[np.float64]:
    """The signal's value in each lookback, in the signal's unit; (T, G).

    NaN where there is none: no sample, fewer than ``min_samples``, a denominator of zero. A count
    is zero where nothing was counted.
    """
    matrix = look.matrix
    signal = policy.signal_definition
    columns = [matrix.columns[name] for name in signal.columns]
    if signal.kind == "quantile":
        assert policy.quantile is not None
        buckets = np.stack([look.sum(column) for column in columns], axis=-1)
        values = histogram_quantile(policy.quantile, LATENCY_BOUNDS_MS, buckets)
        values[buckets.sum(axis=-1) < policy.min_samples] = np.nan
        return values
    if signal.kind == "ratio":
        numerator, denominator = (look.sum(column) for column in columns)
        enough = denominator >= policy.min_samples
        return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=enough)
    (column,) = columns
    how = policy.aggregate or signal.aggregate
    if signal.kind == "count":
        return look.aggregate(column, None, how, policy.quantile)
    values = look.aggregate(column, matrix.sampled, how, policy.quantile)
    if policy.min_samples > 1 or how in ("sum", "count"):
        samples = look.sum(matrix.sampled.astype(np.float64))
        values[samples < policy.min_samples] = np.nan
    return values
