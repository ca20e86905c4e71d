"""Kind ``change``: a window against an earlier one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.change import ChangePolicy
from monitoring.policy.direction import beyond
from monitoring.scoring.classes import EvaluationClass, Scores
from monitoring.scoring.earlier import read_with_earlier
from monitoring.scoring.facts import Facts
from monitoring.scoring.measure import measure


def score_change(policy: ChangePolicy, facts: Facts, times: NDArray[np.int64]) -> Scores:
    """Class, and ratio or difference, of every series at every evaluation time.

    Unknown where the window or its reference is not covered; missing where the window has no
    value. Where there is nothing to compare with, an evaluation is clear, and its value NaN.

    Args:
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    look, earlier = read_with_earlier(facts, policy, times, [policy.offset_minutes])
    current, reference = measure(policy, look), earlier.values[0]
    # false where either is NaN
    comparable = (reference >= policy.reference_floor) & (current >= policy.current_floor)
    values = np.full(current.shape, np.nan)
    how = np.divide if policy.measure == "ratio" else np.subtract
    how(current, reference, out=values, where=comparable)
    classes = np.zeros(current.shape, dtype=np.int8)
    classes[beyond(values, policy.direction, *policy.bounds)] = EvaluationClass.BREACH
    unknown = look.unknown(policy.coverage_needed) | earlier.unknown[0]
    return look.scores(policy, classes, values, unknown, np.isnan(current))
