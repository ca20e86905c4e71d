"""Kind ``threshold``: a signal, aggregated over a window, against a condition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.definition import ThresholdPolicy
from monitoring.scoring.classes import EvaluationClass, Scores
from monitoring.scoring.lookback import Lookback
from monitoring.scoring.matrix import SignalMatrix
from monitoring.scoring.quantile import histogram_quantile
from userdb.latency import LATENCY_BOUNDS_MS


def score_threshold(
    policy: ThresholdPolicy, matrix: SignalMatrix, times: NDArray[np.int64]
) -> Scores:
    """Class and value of every series at every evaluation time.

    Args:
        matrix: minutes from the first lookback of ``times``, and of the evaluation before it,
            up to the last of ``times``.
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    look = Lookback(matrix, times, policy.window_minutes, policy.delay_minutes)
    unknown = look.unknown(policy.coverage_needed)
    values = _values(policy, matrix, look)
    classes = np.zeros(values.shape, dtype=np.int8)
    classes[policy.condition.holds(values)] = EvaluationClass.BREACH
    if policy.recover is not None:
        between = (classes == EvaluationClass.CLEAR) & ~policy.recover.holds(values)
        classes[between] = EvaluationClass.BETWEEN
    if policy.no_data != "ok":
        classes[np.isnan(values)] = EvaluationClass.MISSING
    elif policy.recover is not None:
        classes[np.isnan(values)] = EvaluationClass.CLEAR
    look.bound_to_life(
        classes, unknown, policy.forget_minutes if policy.needs_memory else None, policy.interval
    )
    return Scores(times, policy.interval, matrix.groups, classes, values, unknown)


def _values(policy: ThresholdPolicy, matrix: SignalMatrix, look: Lookback) -> NDArray[np.float64]:
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
    if signal.kind == "count":
        return look.aggregate(column, look.covered_cells(), policy.aggregate or "sum")
    values = look.aggregate(column, matrix.sampled, policy.aggregate or "avg")
    values[look.sum(matrix.sampled.astype(np.float64)) < policy.min_samples] = np.nan
    return values
