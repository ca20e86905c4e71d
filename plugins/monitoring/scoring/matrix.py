"""A signal's minutes as dense arrays over minutes × series groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SignalMatrix:
    """What is known of a signal in the minutes [first, first + M).

    Attributes:
        first: first minute.
        groups: label values of each series group, in the order of the policy's group labels; G.
        columns: the signal's columns, float64, summed (counts, ratios, buckets) or the greatest
            (gauges) over the series of a group; zero where there is no sample, NaN for gauges;
            each (M, G).
        sampled: whether the group had a sample in that minute, bool; (M, G).
        covered: whether the minute was collected, bool; (C,) for the minutes
            [first + M - C, first + M): it may reach further back than the columns.
        last_before: last minute before ``first`` in which the group had a sample, or a very
            negative number; int64; (G,).
        begins: the minute with the first sample of all history, of whatever series, where the
            facts can't tell by coverage that nothing is known before it.
    """

    first: int
    groups: Sequence[tuple[str, ...]]
    columns: Mapping[str, NDArray[np.float64]]
    sampled: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    last_before: NDArray[np.int64]
    begins: int | None = None

    @property
    def minutes(self) -> int:
        return int(self.sampled.shape[0])


#: A minute so long ago that no memory reaches it.
NEVER = -(2**40)
