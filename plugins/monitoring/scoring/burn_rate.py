"""Kind ``burn_rate``: how fast an error budget is used up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.burn_rate import BurnRatePolicy
from monitoring.policy.signal_policy import coverage_needed
from monitoring.scoring.classes import EvaluationClass, Scores
from monitoring.scoring.facts import Facts
from monitoring.scoring.lookback import Lookback


def score_burn_rate(policy: BurnRatePolicy, facts: Facts, times: NDArray[np.int64]) -> Scores:
    """Class and burn rate of every series at every evaluation time.

    A pair of windows that is not covered says nothing. A series breaches where any other pair
    does; else it is unknown where there is a pair that says nothing.

    Args:
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    longest = policy.lookback_minutes - policy.delay_minutes
    look = Lookback.read(facts, policy, times, longest)
    shape = (len(times), len(look.matrix.groups))
    windows = _Windows(policy, look)
    breach = np.zeros(shape, dtype=np.bool_)
    unknown = np.zeros(len(times), dtype=np.bool_)
    worst, values = np.full(shape, -np.inf), np.full(shape, np.nan)
    for pair in policy.windows:
        long, short = windows.shares(pair.long_minutes), windows.shares(pair.short_minutes)
        blind = windows.unknown(pair.long_minutes) | windows.unknown(pair.short_minutes)
        long[blind] = np.nan
        long[windows.totals(pair.long_minutes) < policy.min_samples] = np.nan
        both = np.minimum(long, short)  # NaN where long is
        breach |= both > policy.bound(pair)
        severity = both / pair.factor
        further = severity > worst
        worst[further] = severity[further]
        values[further] = long[further] / policy.budget
        unknown |= blind
    classes = np.where(breach, np.int8(EvaluationClass.BREACH), np.int8(EvaluationClass.CLEAR))
    scores = look.scores(policy, classes, values, np.zeros_like(unknown))
    # a breach and the end of a series are told although some pair says nothing
    told = (EvaluationClass.BREACH, EvaluationClass.GONE)
    classes[unknown[:, np.newaxis] & ~np.isin(classes, told)] = EvaluationClass.CLEAR
    return replace(scores, unknown=unknown)


class _Windows:
    """Errors, totals and coverage of windows of different lengths over one matrix."""

    def __init__(self, policy: BurnRatePolicy, look: Lookback) -> None:
        columns = look.matrix.columns
        *errors, total = (columns[signal.columns[0]] for signal in policy.signals)
        self._errors: NDArray[np.float64] = np.add.reduce(errors)
        self._total = total
        self._policy = policy
        self._look = look
        self._looks: dict[int, Lookback] = {}
        self._totals: dict[int, NDArray[np.float64]] = {}

    def _at(self, minutes: int) -> Lookback:
        if minutes not in self._looks:
            look = self._look
            self._looks[minutes] = Lookback(
                look.matrix, look.times, minutes, self._policy.delay_minutes
            )
        return self._looks[minutes]

    def unknown(self, minutes: int) -> NDArray[np.bool_]:
        """Evaluations whose window of so many minutes is not covered; (T,)."""
        return self._at(minutes).unknown(coverage_needed(minutes))

    def totals(self, minutes: int) -> NDArray[np.float64]:
        """Total in windows of so many minutes; (T, G)."""
        if minutes not in self._totals:
            self._totals[minutes] = self._at(minutes).sum(self._total)
        return self._totals[minutes]

    def shares(self, minutes: int) -> NDArray[np.float64]:
        """Errors / total; zero where there is no total: then no budget is used up. (T, G)."""
        total = self.totals(minutes)
        errors = self._at(minutes).sum(self._errors)
        return np.divide(errors, total, out=np.zeros_like(errors), where=total > 0)
