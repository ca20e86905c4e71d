"""Which way a value must go to breach."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["up", "down", "both"]


def beyond(
    values: NDArray[np.float64], direction: Direction, low: float, high: float
) -> NDArray[np.bool_]:
    """Where ``values`` are above ``high`` or below ``low``, as ``direction`` asks; same shape.

    Strict on both sides; NaN is nowhere beyond.
    """
    above = (values > high) & (direction != "down")
    below = (values < low) & (direction != "up")
    result: NDArray[np.bool_] = above | below
    return result


def worst_of(
    values: NDArray[np.float64], direction: Direction, distance: NDArray[np.float64]
) -> float:
    """The lowest or the highest of ``values``; where both ways are bad, that of most ``distance``.

    NaN only where all are.
    """
    if direction == "both":
        return float(values[np.argmax(np.nan_to_num(distance, nan=-np.inf))])
    return float((np.fmin if direction == "down" else np.fmax).reduce(values))
