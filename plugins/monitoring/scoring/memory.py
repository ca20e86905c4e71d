"""Facts in memory: of a file of series, or of a test's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.scoring.facts import Selection
from monitoring.scoring.matrix import SignalMatrix, build_matrix

Group = tuple[str, ...]


@dataclass(frozen=True)
class Samples:
    """One series of one column.

    Attributes:
        minutes: ascending, each once, int64; (N,). Minute m holds [m, m + 1).
        values: float64, no NaN; (N,).
    """

    labels: Mapping[str, str]
    minutes: NDArray[np.int64]
    values: NDArray[np.float64]


class MemoryFacts:
    """Series by column. Every minute is covered but those of gaps.

    Args:
        columns: column of a signal to its series.
        gaps: column to spans [first, stop) of minutes that were not covered. A signal is covered
            where all of its columns are.
    """

    def __init__(
        self,
        columns: Mapping[str, Sequence[Samples]],
        gaps: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    ) -> None:
        self._columns = columns
        self._gaps = gaps or {}

    def matrix(self, selection: Selection, first: int, stop: int, memory: int = 0) -> SignalMatrix:
        """See ``monitoring.scoring.facts.Facts``."""
        groups: dict[int, Group] = {}
        parts: list[pd.DataFrame] = []
        last_before: dict[Group, int] = {}
        first_seen: dict[Group, int] = {}
        for column in selection.columns:
            for series in self._columns.get(column, ()):
                if not len(series.minutes) or not selection.selects(series.labels):
                    continue
                group = selection.group(series.labels)
                low, high = np.searchsorted(series.minutes, (first, stop)).tolist()
                if high:
                    begun = int(series.minutes[0])
                    first_seen[group] = min(begun, first_seen.get(group, begun))
                if low and series.minutes[low - 1] >= first - memory:
                    last = int(series.minutes[low - 1])
                    last_before[group] = max(last, last_before.get(group, last))
                if low < high:
                    number = len(parts)
                    groups[number] = group
                    parts.append(
                        pd.DataFrame(
                            {
                                "minute": series.minutes[low:high],
                                "series_id": number,
                                column: series.values[low:high],
                            }
                        )
                    )
        names = ["minute", "series_id", *selection.columns]
        rows = pd.concat(parts) if parts else pd.DataFrame({name: [] for name in names})
        covered = np.ones(stop - first + memory, dtype=np.bool_)
        for column in selection.columns:
            for begin, end in self._gaps.get(column, ()):
                low, high = max(begin - first + memory, 0), max(end - first + memory, 0)
                covered[low:high] = False
        return build_matrix(
            rows.reindex(columns=names),
            signals=selection.signals,
            group_of_series=groups,
            first=first,
            stop=stop,
            covered=covered,
            last_before=last_before,
            first_seen=first_seen,
        )
