"""A signal's minutes as dense arrays over minutes × series groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.signals import Kind


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
    """

    first: int
    groups: Sequence[tuple[str, ...]]
    columns: Mapping[str, NDArray[np.float64]]
    sampled: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    last_before: NDArray[np.int64]

    @property
    def minutes(self) -> int:
        return int(self.sampled.shape[0])


#: A minute so long ago that no memory reaches it.
NEVER = -(2**40)


def build_matrix(
    rows: pd.DataFrame,
    *,
    kind: Kind,
    columns: Sequence[str],
    group_of_series: Mapping[int, tuple[str, ...]],
    first: int,
    stop: int,
    covered: NDArray[np.bool_],
    last_before: Mapping[tuple[str, ...], int],
) -> SignalMatrix:
    """Lay rows of a minute table out as a matrix.

    Args:
        rows: columns minute (int), series_id (int) and ``columns`` (numbers, NaN for null).
        group_of_series: group of each series that the policy selects; other rows are left out.
        covered: for the minutes that end at ``stop``.
        last_before: groups that had a sample before ``first``, and when.
    """
    groups = sorted(
        {
            group_of_series[series]
            for series in rows["series_id"].unique()
            if series in group_of_series
        }
        | set(last_before)
    )
    position = {group: at for at, group in enumerate(groups)}
    shape = (stop - first, len(groups))
    sampled = np.zeros(shape, dtype=np.bool_)
    blank = np.nan if kind == "gauge" else 0.0
    dense = {name: np.full(shape, blank, dtype=np.float64) for name in columns}
    chosen = rows[rows["series_id"].isin(list(group_of_series))]
    if len(chosen):
        group = chosen["series_id"].map(
            {series: position.get(label, -1) for series, label in group_of_series.items()}
        )
        row_index = chosen["minute"].to_numpy(dtype=np.int64) - first
        column_index = group.to_numpy(dtype=np.int64)
        present = np.zeros(len(chosen), dtype=np.bool_)
        for name in columns:
            values = chosen[name].to_numpy(dtype=np.float64, na_value=np.nan)
            present |= ~np.isnan(values)
            if kind == "gauge":
                np.fmax.at(dense[name], (row_index, column_index), values)
            else:
                np.add.at(dense[name], (row_index, column_index), np.nan_to_num(values))
        sampled[row_index[present], column_index[present]] = True
    return SignalMatrix(
        first=first,
        groups=groups,
        columns=dense,
        sampled=sampled,
        covered=covered,
        last_before=np.array([last_before.get(group, NEVER) for group in groups], dtype=np.int64),
    )
