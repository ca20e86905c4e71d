"""Aggregates over the last minutes of many series at once.

A result depends on the cells of its own lookback alone, down to the last bit: never on where the
matrix begins. So scoring a range again, or as part of a longer one, gives the same values. Sums
of whole numbers are differences of running totals, which are exact; other sums are built by
doubling (sums of 1, 2, 4, … minutes that end at the same minute), whose order of addition is the
same for every minute. Extremes are built likewise. The cost is that of a few passes over the
matrix, whatever the window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Whole numbers up to here are exact as float64, and so are their sums.
_EXACT = 2.0**53


def rolling_sum(
    cells: NDArray[np.float64], newest: NDArray[np.int64], window: int
) -> NDArray[np.float64]:
    """Sum of the ``window`` cells that end at each of ``newest``.

    Args:
        cells: no NaN; (M, G).
        newest: indices into the first axis, each at least ``window - 1``; (T,).

    Returns:
        (T, G).
    """
    if window == 1:
        return cells[newest]
    if (cells == np.rint(cells)).all() and np.abs(cells).sum() < _EXACT:
        total = np.zeros((cells.shape[0] + 1, cells.shape[1]))
        np.cumsum(cells, axis=0, out=total[1:])
        return np.asarray(total[newest + 1] - total[newest + 1 - window])
    result: NDArray[np.float64] | None = None
    block, size, end = cells, 1, newest  # sums of ``size`` cells that end at each minute
    rest = window
    while True:
        if rest & 1:
            part = block[end]
            result = part if result is None else result + part
            end = end - size
        rest >>= 1
        if not rest:
            assert result is not None
            return result
        block = _doubled(block, size, np.add, 0.0)
        size *= 2


def rolling_extreme(
    cells: NDArray[np.float64], newest: NDArray[np.int64], window: int, extreme: np.ufunc
) -> NDArray[np.float64]:
    """np.fmax or np.fmin, as ``extreme``, of the cells that end at each of ``newest``; (T, G).

    Args: as of ``rolling_sum``, but NaN cells are left out; NaN where all are.
    """
    block, size = cells, 1
    while size * 2 <= window:
        block = _doubled(block, size, extreme, np.nan)
        size *= 2
    result: NDArray[np.float64] = extreme(block[newest], block[newest - (window - size)])
    return result


def rolling_last(
    cells: NDArray[np.float64], newest: NDArray[np.int64], window: int
) -> NDArray[np.float64]:
    """The newest cell that is not NaN, of the ``window`` ones that end at each of ``newest``."""
    rows = np.arange(cells.shape[0])[:, np.newaxis]
    at = np.maximum.accumulate(np.where(np.isnan(cells), -1, rows), axis=0)[newest]
    found = np.take_along_axis(cells, np.maximum(at, 0), axis=0) if cells.size else cells[newest]
    return np.where(at > newest[:, np.newaxis] - window, found, np.nan)


def rolling_quantile(
    cells: NDArray[np.float64], newest: NDArray[np.int64], window: int, q: float
) -> NDArray[np.float64]:
    """The q-quantile of the cells that are not NaN, by linear interpolation; (T, G).

    This is definition 7 of Hyndman and Fan, Sample Quantiles in Statistical Packages (1996), as
    NumPy and Prometheus' quantile_over_time have it. NaN where there is none.
    """
    result = np.full((len(newest), cells.shape[1]), np.nan)
    offsets = np.arange(1 - window, 1)
    for row, end in enumerate(newest.tolist()):
        own = np.sort(cells[end + offsets], axis=0)  # NaN is sorted last
        number = (~np.isnan(own)).sum(axis=0)
        some = np.flatnonzero(number)
        rank = q * (number[some] - 1)
        low = np.floor(rank).astype(np.int64)
        high = np.ceil(rank).astype(np.int64)
        at_low, at_high = own[low, some], own[high, some]
        result[row, some] = at_low + (at_high - at_low) * (rank - low)
    return result


def _doubled(
    block: NDArray[np.float64], size: int, combine: np.ufunc, blank: float
) -> NDArray[np.float64]:
    """From aggregates of ``size`` cells those of twice as many, that end at the same cell."""
    wider = np.full_like(block, blank)
    if block.shape[0] > size:
        combine(block[size:], block[:-size], out=wider[size:])
    return wider
