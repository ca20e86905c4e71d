"""Which function scores which kind of policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.absence import AbsencePolicy
from monitoring.policy.baseline import BaselinePolicy
from monitoring.policy.burn_rate import BurnRatePolicy
from monitoring.policy.cardinality import CardinalityPolicy
from monitoring.policy.change import ChangePolicy
from monitoring.policy.definition import Policy
from monitoring.policy.new_value import NewValuePolicy
from monitoring.policy.threshold import ThresholdPolicy
from monitoring.scoring.absence import score_absence
from monitoring.scoring.baseline import score_baseline
from monitoring.scoring.burn_rate import score_burn_rate
from monitoring.scoring.cardinality import score_cardinality
from monitoring.scoring.change import score_change
from monitoring.scoring.classes import Scores
from monitoring.scoring.facts import Facts
from monitoring.scoring.new_value import score_new_value
from monitoring.scoring.threshold import score_threshold

Scorer = Callable[[Any, Facts, NDArray[np.int64]], Scores]

_SCORERS: dict[type[Policy], Scorer] = {}


def register_scorer(model: type[Policy], scorer: Scorer) -> None:
    """Say how policies of ``model`` are scored. Raises ValueError where that is said already."""
    if model in _SCORERS:
        raise ValueError(f"{model.__name__} has two scorers")
    _SCORERS[model] = scorer


register_scorer(ThresholdPolicy, score_threshold)
register_scorer(AbsencePolicy, score_absence)
register_scorer(NewValuePolicy, score_new_value)
register_scorer(CardinalityPolicy, score_cardinality)
register_scorer(ChangePolicy, score_change)
register_scorer(BaselinePolicy, score_baseline)
register_scorer(BurnRatePolicy, score_burn_rate)


def score(policy: Policy, facts: Facts, times: NDArray[np.int64]) -> Scores:
    """Class and value of each series at each evaluation time.

    Args:
        facts: read from ``times[0] - policy.lookback_minutes - interval`` to ``times[-1]``, and
            by ``policy.memory_minutes`` further back.
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    return _SCORERS[type(policy)](policy, facts, times)
