"""Lookbacks over a signal's minutes: aggregates, coverage, and which series exist."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.signal_policy import SeriesPolicy
from monitoring.scoring.classes import EvaluationClass, Scores
from monitoring.scoring.facts import Facts, Selection
from monitoring.scoring.matrix import SignalMatrix
from monitoring.scoring.rolling import (
    rolling_extreme,
    rolling_last,
    rolling_quantile,
    rolling_sum,
)
from monitoring.signals import Aggregate


class Lookback:
    """The lookbacks (t - delay - window, t - delay] of evaluation times over a matrix.

    Args:
        times: evaluation times, minutes, ascending; (T,). The newest minute of time t is the one
            that ends at t - delay.
    """

    def __init__(
        self, matrix: SignalMatrix, times: NDArray[np.int64], window: int, delay: int
    ) -> None:
        self.matrix = matrix
        self.times = times
        self.window = window
        #: index of each lookback's newest minute; (T,)
        self.newest: NDArray[np.int64] = times - delay - 1 - matrix.first
        reach = len(matrix.covered) - matrix.minutes
        self._coverage_offset = reach
        self.covered: NDArray[np.bool_] = matrix.covered[reach:]
        self._all_covered = bool(self.covered.all())
        self._running: NDArray[np.int64] = np.concatenate(
            ([0], np.cumsum(matrix.covered, dtype=np.int64))
        )

    @classmethod
    def read(
        cls,
        facts: Facts,
        policy: SeriesPolicy,
        times: NDArray[np.int64],
        window: int,
        selection: Selection | None = None,
    ) -> Lookback:
        """The lookbacks of ``window`` minutes of the policy's series, and what is known of their
        life.

        Args:
            selection: default: the policy's signals, grouped by its labels.
        """
        first = int(times[0]) - policy.delay_minutes - window - policy.interval
        stop = int(times[-1]) - policy.delay_minutes
        matrix = facts.matrix(
            Selection.of(policy) if selection is None else selection,
            first,
            stop,
            policy.memory_minutes,
        )
        return cls(matrix, times, window, policy.delay_minutes)

    def scores(
        self,
        policy: SeriesPolicy,
        classes: NDArray[np.int8],
        values: NDArray[np.float64],
        unknown: NDArray[np.bool_],
        missing: NDArray[np.bool_] | None = None,
    ) -> Scores:
        """Scores from classes, which are changed in place: what has no value is missing, what is
        not known is nothing, and series are bound to their lives.

        Args:
            missing: what is missing, (T, G); default: where there is no value.
        """
        nothing = EvaluationClass.CLEAR if policy.no_data == "ok" else EvaluationClass.MISSING
        classes[np.isnan(values) if missing is None else missing] = nothing
        forget = policy.forget_minutes if policy.needs_memory else None
        self.bound_to_life(classes, unknown, forget, policy.interval)
        return Scores(self.times, policy.interval, self.matrix.groups, classes, values, unknown)

    def unknown(self, needed: float) -> NDArray[np.bool_]:
        """Evaluations whose newest minute is not covered, or less than ``needed`` of all; (T,)."""
        share = self.covered_within(self.window) / self.window
        result: NDArray[np.bool_] = ~self.covered[self.newest] | (share < needed)
        return result

    def covered_within(self, minutes: int) -> NDArray[np.int64]:
        """How many of the last ``minutes`` minutes are covered, as far back as is told; (T,)."""
        stop = self.newest + self._coverage_offset + 1
        result: NDArray[np.int64] = (
            self._running[stop] - self._running[np.maximum(stop - minutes, 0)]
        )
        return result

    def since_sample(self, earlier: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Minutes since each series' last sample, ``earlier`` minutes before each evaluation:
        those that were covered, and all on the clock; each (T, G), int64.

        Of a series without a sample, or with one before what is told, the clock says more than
        was looked back at.
        """
        matrix = self.matrix
        newest = self.newest - earlier
        before = matrix.last_before[np.newaxis, :] - matrix.first
        steps = np.arange(matrix.minutes, dtype=np.int64)[:, np.newaxis]
        last = np.maximum.accumulate(np.where(matrix.sampled, steps, before), axis=0)
        at = np.where(newest[:, np.newaxis] >= 0, last[np.maximum(newest, 0)], before)
        reach = len(self._running) - 1
        now = self._running[np.clip(newest + self._coverage_offset + 1, 0, reach)]
        then = self._running[np.clip(at + self._coverage_offset + 1, 0, reach)]
        return now[:, np.newaxis] - then, newest[:, np.newaxis] - at

    def sum(self, column: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the covered minutes of each lookback; (T, G)."""
        return rolling_sum(self._where(self._usable(None), column, 0.0), self.newest, self.window)

    def aggregate(
        self,
        column: NDArray[np.float64],
        valid: NDArray[np.bool_] | None,
        how: Aggregate,
        quantile: float | None = None,
    ) -> NDArray[np.float64]:
        """Aggregate each lookback's cells that are valid and covered; (T, G).

        NaN where there are none, but 0 for sum and count.

        Args:
            valid: bool, (M, G); None: all.
            quantile: of ``how`` quantile.
        """
        usable = self._usable(valid)
        if how in ("sum", "avg"):
            total = rolling_sum(self._where(usable, column, 0.0), self.newest, self.window)
            return total if how == "sum" else self._mean(total, usable)
        if how == "count":
            counted = (self._where(usable, column, 0.0) != 0).astype(np.float64)
            return rolling_sum(counted, self.newest, self.window)
        cells = self._where(usable, column, np.nan)
        if how == "last":
            return rolling_last(cells, self.newest, self.window)
        if how == "quantile":
            assert quantile is not None
            return rolling_quantile(cells, self.newest, self.window, quantile)
        extreme = np.fmax if how == "max" else np.fmin
        return rolling_extreme(cells, self.newest, self.window, extreme)

    def _mean(
        self, total: NDArray[np.float64], usable: NDArray[np.bool_] | None
    ) -> NDArray[np.float64]:
        if usable is None:
            return total / self.window
        cells = np.broadcast_to(usable, self.matrix.sampled.shape).astype(np.float64)
        number = rolling_sum(cells, self.newest, self.window)
        return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)

    def _usable(self, valid: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Cells that are valid and covered, as (M, G) or (M, 1); None where all are."""
        if self._all_covered:
            return valid
        covered = self.covered[:, np.newaxis]
        return covered if valid is None else valid & covered

    @staticmethod
    def _where(
        usable: NDArray[np.bool_] | None, column: NDArray[np.float64], blank: float
    ) -> NDArray[np.float64]:
        return column if usable is None else np.where(usable, column, blank)

    def bound_to_life(
        self,
        classes: NDArray[np.int8],
        unknown: NDArray[np.bool_],
        forget: int | None,
        interval: int,
    ) -> None:
        """Restrict classes, in place, to the life of each series and to what is known.

        A series lives from its first sample until ``forget`` minutes of covered time without one,
        at the latest until twice that on the clock. Before and after it is clear; the first
        evaluation after its life is GONE. With ``forget`` None only unknown ones are blanked.
        """
        if forget is None:
            classes[unknown] = EvaluationClass.CLEAR
            return
        lives, lived = self.alive(forget), self.alive(forget, interval)
        classes[~lives] = EvaluationClass.CLEAR
        classes[unknown] = EvaluationClass.CLEAR
        classes[lived & ~lives] = EvaluationClass.GONE

    def alive(self, forget: int, earlier: int = 0) -> NDArray[np.bool_]:
        """Whether each series lives ``earlier`` minutes before each evaluation; (T, G)."""
        quiet, clock = self.since_sample(earlier)
        result: NDArray[np.bool_] = (quiet < forget) & (clock <= 2 * forget)
        return result
