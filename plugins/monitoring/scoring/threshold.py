"""Kind ``threshold``: a signal, aggregated over a window, against a condition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.threshold import ThresholdPolicy
from monitoring.scoring.classes import Scores
from monitoring.scoring.facts import Facts
from monitoring.scoring.lookback import Lookback
from monitoring.scoring.measure import compare, measure


def score_threshold(policy: ThresholdPolicy, facts: Facts, times: NDArray[np.int64]) -> Scores:
    """Class and value of every series at every evaluation time.

    Args:
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    look = Lookback.read(facts, policy, times, policy.window_minutes)
    values = measure(policy, look)
    classes = compare(values, policy.condition, policy.recover)
    return look.scores(policy, classes, values, look.unknown(policy.coverage_needed))
