"""The minutes of a family's series as dense arrays, and the matrices that policies read of them.

Series are kept in the order of their labels, and what files counted of one series is added up
before series are: so sums come out the same to the last bit however the rows were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from monitoring.scoring.facts import Selection
from monitoring.scoring.matrix import NEVER, SignalMatrix

Labels = Mapping[str, str]
_Cell = TypeVar("_Cell", bound=np.generic)


@dataclass(frozen=True)
class FamilyMinutes:
    """What is known of some series in the minutes [first, first + M).

    Attributes:
        labels: of each series; S.
        columns: float64, (M, S); where a series has no value: NaN for gauges, else zero.
        sampled: column to whether each series has a value, bool; (M, S).
        covered: whether each minute was collected, bool; (C,) for the minutes that end with the
            last one: it may reach further back than the columns.
        last_before: column to the last minute before ``first`` in which each series had a value,
            or a very negative number; int64, (S,).
    """

    first: int
    labels: Sequence[Labels]
    columns: Mapping[str, NDArray[np.float64]]
    sampled: Mapping[str, NDArray[np.bool_]]
    covered: NDArray[np.bool_]
    last_before: Mapping[str, NDArray[np.int64]]
    _cache: dict[object, SignalMatrix] = field(default_factory=dict, compare=False)

    @property
    def minutes(self) -> int:
        return int(next(iter(self.columns.values())).shape[0])

    def matrix(self, selection: Selection, first: int, stop: int, memory: int = 0) -> SignalMatrix:
        """See ``monitoring.scoring.facts.Facts``.

        Raises:
            ValueError: the range, or the memory before it, is not held.
        """
        held = self.first + self.minutes - len(self.covered)
        if first < self.first or first - memory < held or stop > self.first + self.minutes:
            raise ValueError(
                f"minutes {first} to {stop}, and {memory} before them, are not all among those "
                f"held: {self.first} to {self.first + self.minutes}, coverage from {held}"
            )
        key = (tuple(selection.columns), selection.by, repr(selection.where), first, stop, memory)
        if key not in self._cache:
            self._cache[key] = self._matrix(selection, first, stop, memory)
        return self._cache[key]

    def _matrix(self, selection: Selection, first: int, stop: int, memory: int) -> SignalMatrix:
        rows = slice(first - self.first, stop - self.first)
        sampled = self._any_sampled(selection)
        last_before = self._last_before(selection, sampled, first)
        recent = last_before >= first - memory
        alive = sampled[rows].any(axis=0) | recent
        members: dict[tuple[str, ...], list[int]] = {}
        for at, labels in enumerate(self.labels):
            if alive[at] and selection.selects(labels):
                members.setdefault(selection.group(labels), []).append(at)
        grouping = _Grouping(members, len(self.labels))
        columns = {
            name: grouping.combine(
                self.columns[name][rows], np.fmax if signal.kind == "gauge" else np.add
            )
            for signal in selection.signals
            for name in signal.columns
        }
        before = len(self.covered) - self.minutes + first - self.first - memory
        return SignalMatrix(
            first=first,
            groups=grouping.groups,
            columns=columns,
            sampled=grouping.combine(sampled[rows], np.logical_or),
            covered=self.covered[before : before + memory + stop - first],
            last_before=grouping.combine(np.where(recent, last_before, NEVER), np.maximum),
        )

    def _any_sampled(self, selection: Selection) -> NDArray[np.bool_]:
        """Whether each series has a value in any of the selection's columns; (M, S)."""
        masks = {id(mask): mask for mask in (self.sampled[name] for name in selection.columns)}
        first, *others = masks.values()
        return np.logical_or.reduce([first, *others]) if others else first

    def _last_before(
        self, selection: Selection, sampled: NDArray[np.bool_], first: int
    ) -> NDArray[np.int64]:
        """Last minute before ``first`` in which each series had a sample; (S,)."""
        known: NDArray[np.int64] = np.maximum.reduce(
            [self.last_before[name] for name in selection.columns]
        )
        held = sampled[: first - self.first]
        if not held.size:
            return known
        last = first - 1 - np.argmax(held[::-1], axis=0)
        return np.asarray(np.where(held.any(axis=0), last, known))


class _Grouping:
    """Series put together to groups, along the last axis of arrays."""

    def __init__(self, members: Mapping[tuple[str, ...], Sequence[int]], series: int) -> None:
        self.groups = sorted(members)
        self._order = [at for group in self.groups for at in members[group]]
        sizes = [len(members[group]) for group in self.groups]
        self._starts = np.cumsum([0, *sizes])[:-1]
        self._as_it_is = self._order == list(range(series))

    def combine(self, cells: NDArray[_Cell], how: np.ufunc) -> NDArray[_Cell]:
        """(…, S) to (…, G): series of one group are combined in the order of their labels."""
        own = cells if self._as_it_is else cells[..., self._order]
        if len(self._order) == len(self.groups):
            return own
        result: NDArray[_Cell] = how.reduceat(own, self._starts, axis=-1)
        return result


def dense(
    at: NDArray[np.int64],
    values: NDArray[np.float64],
    shape: tuple[int, int],
    *,
    gauge: bool,
) -> NDArray[np.float64]:
    """Values as a matrix; those of one cell are summed, or of gauges the greatest is taken.

    Args:
        at: index of each value's cell in the flattened matrix; (N,).
        values: no NaN; (N,).
        shape: of the result.

    Returns:
        NaN, or if no gauge zero, where there is no value.
    """
    if gauge:
        flat = np.full(shape[0] * shape[1], np.nan)
        np.fmax.at(flat, at, values)
    else:
        flat = np.bincount(at, weights=values, minlength=shape[0] * shape[1])
    return flat.reshape(shape)


def lay_out(
    minute: NDArray[np.int64],
    series: NDArray[np.int64],
    rows: Mapping[str, NDArray[np.float64] | NDArray[np.int64]],
    gauges: frozenset[str],
    shape: tuple[int, int],
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.bool_]]]:
    """Rows of a minute table as ``columns`` and ``sampled`` of ``FamilyMinutes``.

    Args:
        minute: row of the matrix that each row belongs to; (N,).
        series: its column; (N,).
        rows: the table's columns, NaN for null; each (N,).
        gauges: which of them are gauges.
        shape: (M, S).
    """
    at = minute * shape[1] + series
    whole = np.zeros(shape[0] * shape[1], dtype=np.bool_)
    whole[at] = True
    whole = whole.reshape(shape)
    columns: dict[str, NDArray[np.float64]] = {}
    sampled: dict[str, NDArray[np.bool_]] = {}
    for name, given in rows.items():
        values = np.asarray(given, dtype=np.float64)
        there = ~np.isnan(values)
        if there.all():
            columns[name] = dense(at, values, shape, gauge=name in gauges)
            sampled[name] = whole
        else:
            columns[name] = dense(at[there], values[there], shape, gauge=name in gauges)
            mask = np.zeros(shape[0] * shape[1], dtype=np.bool_)
            mask[at[there]] = True
            sampled[name] = mask.reshape(shape)
    return columns, sampled
