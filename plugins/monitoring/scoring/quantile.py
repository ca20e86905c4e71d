"""Quantiles from histogram buckets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def histogram_quantile(
    q: float, bounds: Sequence[float], buckets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The q-quantile, by linear interpolation within its bucket.

    The formula is Prometheus' ``histogram_quantile``: the observation of rank q × total lies in
    the first bucket whose cumulative count reaches it; within the bucket, observations are taken
    to be spread evenly; in the last, unbounded bucket the answer is the greatest bound.

    Args:
        bounds: upper bounds, ascending, without the unbounded last one; B.
        buckets: counts per bucket, not cumulative; (..., B + 1).

    Returns:
        (...): NaN where there is no observation.
    """
    cumulative = np.cumsum(buckets, axis=-1)
    total = cumulative[..., -1]
    rank = q * total
    reached = cumulative >= rank[..., np.newaxis]
    at = reached.argmax(axis=-1)
    upper = np.asarray([*bounds, bounds[-1]], dtype=np.float64)
    lower = np.asarray([0.0, *bounds], dtype=np.float64)
    inside = np.take_along_axis(buckets, at[..., np.newaxis], axis=-1)[..., 0]
    before = np.take_along_axis(cumulative, at[..., np.newaxis], axis=-1)[..., 0] - inside
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(inside > 0, (rank - before) / inside, 0.0)
        value = lower[at] + (upper[at] - lower[at]) * share
    result: NDArray[np.float64] = np.where(total > 0, value, np.nan)
    return result
