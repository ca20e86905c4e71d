"""Kind ``new_value``: a value of a label that was not seen within a memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.new_value import NewValuePolicy
from monitoring.scoring.classes import EvaluationClass, Scores
from monitoring.scoring.facts import Facts
from monitoring.scoring.lookback import Lookback
from monitoring.scoring.matrix import SignalMatrix
from monitoring.scoring.rolling import rolling_sum


def score_new_value(policy: NewValuePolicy, facts: Facts, times: NDArray[np.int64]) -> Scores:
    """Class and value of every series at every evaluation time.

    The value is what a count counted in the window, else the number of minutes with a sample. It
    is of all minutes, covered or not: a value that was seen was seen, whatever wasn't. So is an
    evaluation unknown only where its newest minute isn't covered.

    Args:
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    look = Lookback.read(facts, policy, times, policy.window_minutes)
    matrix = look.matrix
    signal = policy.signal_definition
    counted = matrix.columns[signal.columns[0]] if signal.kind == "count" else matrix.sampled
    values = rolling_sum(counted.astype(np.float64), look.newest, policy.window_minutes)

    new = _new(matrix, policy.memory_minutes, policy.min_coverage)
    at = policy.group_labels.index(policy.label)
    new &= np.array([group[at] != "" for group in matrix.groups], dtype=np.bool_)
    recent = rolling_sum(new.astype(np.float64), look.newest, policy.window_minutes) > 0
    unknown = look.unknown(0.0)
    classes = np.where(recent, EvaluationClass.BREACH, EvaluationClass.CLEAR).astype(np.int8)
    look.bound_to_life(classes, unknown, None, policy.interval)
    return Scores(times, policy.interval, matrix.groups, classes, values, unknown)


def _new(matrix: SignalMatrix, memory: int, min_coverage: float) -> NDArray[np.bool_]:
    """Minutes in which a group has a sample and had none in the ``memory`` minutes before, which
    were covered well enough to tell; (M, G)."""
    steps = np.arange(matrix.minutes, dtype=np.int64)[:, np.newaxis]
    last = np.where(matrix.sampled, steps, np.int64(-1) - memory)
    before = np.empty_like(last)
    before[0] = matrix.last_before - matrix.first
    before[1:] = last[:-1]
    np.maximum.accumulate(before, axis=0, out=before)
    covered = np.concatenate(([0], np.cumsum(matrix.covered)))
    share = (covered[memory:-1] - covered[: matrix.minutes]) / memory
    known = share >= min_coverage
    if matrix.begins is not None:
        known &= matrix.first + steps[:, 0] > matrix.begins
    return matrix.sampled & (before < steps - memory) & known[:, np.newaxis]
