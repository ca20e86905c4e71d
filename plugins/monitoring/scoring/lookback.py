"""Lookbacks over a signal's minutes: aggregates, coverage, and which series exist.

Sums and extremes of a lookback are always taken over its own minutes, oldest first, and never by
differences of running totals: so a value doesn't depend on where the scored range began, and
scoring a range again gives the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.definition import Aggregate
from monitoring.scoring.classes import EvaluationClass
from monitoring.scoring.matrix import SignalMatrix


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
        self.window = window
        #: index of each lookback's newest minute; (T,)
        self.newest: NDArray[np.int64] = times - delay - 1 - matrix.first
        reach = len(matrix.covered) - matrix.minutes
        self._coverage_offset = reach
        self.covered: NDArray[np.bool_] = matrix.covered[reach:]

    def unknown(self, needed: float) -> NDArray[np.bool_]:
        """Evaluations whose newest minute is not covered, or less than ``needed`` of all; (T,)."""
        total = np.concatenate(([0], np.cumsum(self.covered)))
        share = (total[self.newest + 1] - total[self.newest + 1 - self.window]) / self.window
        result: NDArray[np.bool_] = ~self.covered[self.newest] | (share < needed)
        return result

    def covered_cells(self) -> NDArray[np.bool_]:
        """Coverage as a mask over the matrix's cells; (M, G)."""
        return np.broadcast_to(self.covered[:, np.newaxis], self.matrix.sampled.shape)

    def sum(self, column: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the covered minutes of each lookback; (T, G)."""
        return self.aggregate(column, self.covered_cells(), "sum")

    def aggregate(
        self, column: NDArray[np.float64], valid: NDArray[np.bool_], how: Aggregate
    ) -> NDArray[np.float64]:
        """Aggregate each lookback's cells that are valid and covered; (T, G).

        NaN where there are none, but 0 for sum and count.
        """
        usable = valid & self.covered_cells()
        shape = (len(self.newest), column.shape[1])
        result = np.full(shape, 0.0 if how in ("sum", "count", "avg") else np.nan)
        number = np.zeros(shape, dtype=np.int64)
        for back in range(self.window - 1, -1, -1):
            index = self.newest - back
            use, cells = usable[index], column[index]
            number += use
            if how in ("sum", "avg"):
                result += np.where(use, cells, 0.0)
            elif how == "count":
                result += use & (cells != 0)
            elif how == "max":
                result = np.fmax(result, np.where(use, cells, np.nan))
            elif how == "min":
                result = np.fmin(result, np.where(use, cells, np.nan))
            else:
                result = np.where(use, cells, result)
        if how == "avg":
            result = np.divide(result, number, out=np.full(shape, np.nan), where=number > 0)
        return result

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
        lives, lived = self._alive(forget, 0), self._alive(forget, interval)
        classes[~lives] = EvaluationClass.CLEAR
        classes[unknown] = EvaluationClass.CLEAR
        classes[lived & ~lives] = EvaluationClass.GONE

    def _alive(self, forget: int, earlier: int) -> NDArray[np.bool_]:
        """Whether each series lives ``earlier`` minutes before each evaluation; (T, G)."""
        matrix = self.matrix
        newest = self.newest - earlier
        steps = np.arange(matrix.minutes, dtype=np.int64)[:, np.newaxis]
        seen = np.where(matrix.sampled, steps, matrix.last_before[np.newaxis, :] - matrix.first)
        last = np.maximum.accumulate(seen, axis=0) if matrix.minutes else seen
        at = np.where(
            newest[:, np.newaxis] >= 0,
            last[np.maximum(newest, 0)],
            matrix.last_before[np.newaxis, :] - matrix.first,
        )
        covered = np.concatenate(([0], np.cumsum(matrix.covered)))
        now = covered[np.clip(newest + self._coverage_offset + 1, 0, len(covered) - 1)]
        then = covered[np.clip(at + self._coverage_offset + 1, 0, len(covered) - 1)]
        quiet = now[:, np.newaxis] - then
        clock = newest[:, np.newaxis] - at
        result: NDArray[np.bool_] = (quiet < forget) & (clock <= 2 * forget)
        return result
