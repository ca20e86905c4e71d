"""Facts in memory: of a file of series, or of a test's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitoring.scoring.facts import Selection
from monitoring.scoring.matrix import NEVER, SignalMatrix
from monitoring.scoring.minutes import FamilyMinutes


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
        found = sorted(
            (
                (sorted(one.labels.items()), column, one)
                for column in selection.columns
                for one in self._columns.get(column, ())
                if len(one.minutes)
            ),
            key=lambda part: part[:2],
        )
        shape = (stop - first, len(found))
        kinds = {name: signal.kind for signal in selection.signals for name in signal.columns}
        columns = {
            name: np.full(shape, np.nan if kind == "gauge" else 0.0) for name, kind in kinds.items()
        }
        sampled = {name: np.zeros(shape, dtype=np.bool_) for name in kinds}
        last_before = {name: np.full(len(found), NEVER) for name in kinds}
        for number, (_, column, one) in enumerate(found):
            low, high = np.searchsorted(one.minutes, (first, stop)).tolist()
            at = one.minutes[low:high] - first
            columns[column][at, number] = one.values[low:high]
            sampled[column][at, number] = True
            if low:
                last_before[column][number] = one.minutes[low - 1]
        minutes = FamilyMinutes(
            first,
            [one.labels for _, _, one in found],
            columns,
            sampled,
            self._covered(selection, first - memory, stop),
            last_before,
        )
        begins = min((int(one.minutes[0]) for _, _, one in found), default=None)
        return replace(minutes.matrix(selection, first, stop, memory), begins=begins)

    def groups(self, selection: Selection) -> set[tuple[str, ...]]:
        """The groups of all series that there are at any time."""
        return {
            selection.group(one.labels)
            for column in selection.columns
            for one in self._columns.get(column, ())
            if len(one.minutes) and selection.selects(one.labels)
        }

    def _covered(self, selection: Selection, first: int, stop: int) -> NDArray[np.bool_]:
        covered = np.ones(stop - first, dtype=np.bool_)
        for column in selection.columns:
            for begin, end in self._gaps.get(column, ()):
                covered[max(begin - first, 0) : max(end - first, 0)] = False
        return covered
