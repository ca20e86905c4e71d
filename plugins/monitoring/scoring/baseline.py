"""Kind ``baseline``: a window against what is usual at that time of day or week.

The expectation is the median of the references, and their spread the MAD, the median of the
distances from it: a few odd seasons among them move neither. The distance of a value x is the
modified z-score of Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993):

    0.6745 (x - median) / MAD

0.6745 makes the MAD of a normal distribution its standard deviation; they suggest 3.5 as bound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.baseline import BaselinePolicy
from monitoring.policy.direction import beyond
from monitoring.scoring.classes import EvaluationClass, Scores
from monitoring.scoring.earlier import read_with_earlier
from monitoring.scoring.facts import Facts
from monitoring.scoring.measure import measure

#: The MAD is taken to be at least so much of the median: references that agree by chance must not
#: make a breach of noise.
MAD_FLOOR = 0.05
#: Scores are cut off here: with a MAD and a median of zero any distance would be infinite.
GREATEST = 1e6


def score_baseline(policy: BaselinePolicy, facts: Facts, times: NDArray[np.int64]) -> Scores:
    """Class and modified z-score of every series at every evaluation time.

    Unknown where the window is not covered, or fewer than ``min_seasons`` of its references;
    a series alone is unknown where it has a value in fewer of those.

    Args:
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    look, earlier = read_with_earlier(facts, policy, times, policy.offsets)
    current, references = measure(policy, look), earlier.values
    references[earlier.unknown] = np.nan
    few = (~np.isnan(references)).sum(axis=0) < policy.seasons_needed
    distance, values = modified_z(current, references, scale_floor(policy))
    values[few] = np.nan
    classes = np.zeros(current.shape, dtype=np.int8)
    breach = beyond(values, policy.direction, -policy.threshold, policy.threshold)
    classes[breach & (np.abs(distance) >= policy.min_difference)] = EvaluationClass.BREACH
    classes[few] = EvaluationClass.UNKNOWN
    unknown = look.unknown(policy.coverage_needed)
    unknown |= (~earlier.unknown).sum(axis=0) < policy.seasons_needed
    return look.scores(policy, classes, values, unknown, np.isnan(current) & ~few)


def scale_floor(policy: BaselinePolicy) -> float:
    """What the MAD is taken to be at least, in the signal's unit: of a count, one event."""
    if policy.signal_definition.kind != "count":
        return 0.0
    return 1 / policy.window_minutes if policy.aggregate == "avg" else 1.0


def modified_z(
    current: NDArray[np.float64], references: NDArray[np.float64], floor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from the references' median, and modified z-score; each (T, G).

    The MAD is taken to be at least ``floor``, and at least ``MAD_FLOOR`` of the median. Scores
    are within ± ``GREATEST``.

    Args:
        current: NaN where there is none; (T, G).
        references: NaN where there is none; (K, T, G).
    """
    expected = _median(references)
    scale = np.maximum(_median(np.abs(references - expected)), MAD_FLOOR * np.abs(expected))
    distance = current - expected
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        score = 0.6745 * distance / np.maximum(scale, floor)
    score[distance == 0] = 0.0  # else 0 / 0
    return distance, np.clip(score, -GREATEST, GREATEST)


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median over the first axis of the values that are not NaN; NaN where there is none."""
    ordered = np.sort(values, axis=0)  # NaN is sorted last
    number = (~np.isnan(values)).sum(axis=0)[np.newaxis]
    low = np.take_along_axis(ordered, np.maximum(number - 1, 0) // 2, axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(number // 2, len(values) - 1), axis=0)[0]
    result: NDArray[np.float64] = low + (high - low) / 2
    return result
