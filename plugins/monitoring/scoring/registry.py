"""Which function scores which kind of policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.definition import Policy, ThresholdPolicy
from monitoring.scoring.classes import Scores
from monitoring.scoring.matrix import SignalMatrix
from monitoring.scoring.threshold import score_threshold

Scorer = Callable[[Any, SignalMatrix, NDArray[np.int64]], Scores]

_SCORERS: dict[type[Policy], Scorer] = {}


def register_scorer(model: type[Policy], scorer: Scorer) -> None:
    """Say how policies of ``model`` are scored. Raises ValueError where that is said already."""
    if model in _SCORERS:
        raise ValueError(f"{model.__name__} has two scorers")
    _SCORERS[model] = scorer


register_scorer(ThresholdPolicy, score_threshold)


def score(policy: Policy, matrix: SignalMatrix, times: NDArray[np.int64]) -> Scores:
    """Class and value of each series at each evaluation time.

    Args:
        matrix: minutes from ``times[0] - lookback - interval`` to ``times[-1]``.
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    return _SCORERS[type(policy)](policy, matrix, times)
