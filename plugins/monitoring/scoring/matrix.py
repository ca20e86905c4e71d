"""A signal's minutes as dense arrays over minutes × series groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.signals import Signal


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
        first_seen: first minute ever in which the group had a sample; int64; (G,).
    """

    first: int
    groups: Sequence[tuple[str, ...]]
    columns: Mapping[str, NDArray[np.float64]]
    sampled: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    last_before: NDArray[np.int64]
    first_seen: NDArray[np.int64]

    @property
    def minutes(self) -> int:
        return int(self.sampled.shape[0])


#: A minute so long ago that no memory reaches it.
NEVER = -(2**40)


def build_matrix(
    rows: pd.DataFrame,
    *,
    signals: Sequence[Signal],
    group_of_series: Mapping[int, tuple[str, ...]],
    first: int,
    stop: int,
    covered: NDArray[np.bool_],
    last_before: Mapping[tuple[str, ...], int],
    first_seen: Mapping[tuple[str, ...], int],
) -> SignalMatrix:
    """Lay rows of a minute table out as a matrix.

    Args:
        rows: columns minute (int), series_id (int) and those of ``signals`` (numbers, NaN for
            null).
        group_of_series: group of each series that is selected; other rows are left out.
        covered: for the minutes that end at ``stop``.
        last_before: groups that had a sample before ``first``, and when.
        first_seen: when each group had its first sample.
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
    gauges = {name: signal.kind == "gauge" for signal in signals for name in signal.columns}
    dense = {
        name: np.full(shape, np.nan if gauge else 0.0, dtype=np.float64)
        for name, gauge in gauges.items()
    }
    chosen = rows[rows["series_id"].isin(list(group_of_series))]
    if len(chosen):
        group = chosen["series_id"].map(
            {series: position.get(label, -1) for series, label in group_of_series.items()}
        )
        at = (chosen["minute"].to_numpy(dtype=np.int64) - first) * len(groups)
        at += group.to_numpy(dtype=np.int64)
        present = np.zeros(len(chosen), dtype=np.bool_)
        for name, gauge in gauges.items():
            values = chosen[name].to_numpy(dtype=np.float64, na_value=np.nan)
            present |= ~np.isnan(values)
            flat = dense[name].reshape(-1)
            if gauge:
                np.fmax.at(flat, at, values)
            else:
                flat += np.bincount(at, weights=np.nan_to_num(values), minlength=flat.size)
        sampled.reshape(-1)[at[present]] = True
    return SignalMatrix(
        first=first,
        groups=groups,
        columns=dense,
        sampled=sampled,
        covered=covered,
        last_before=np.array([last_before.get(group, NEVER) for group in groups], dtype=np.int64),
        first_seen=np.array([first_seen.get(group, NEVER) for group in groups], dtype=np.int64),
    )
