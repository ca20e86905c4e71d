"""The classes that an evaluation of a series can have, and their storage as intervals.

    CLEAR    the condition does not hold
    BREACH   the condition holds
    BETWEEN  past the recovery condition, not past the condition: a breach for an alert that fires
             and has not cleared yet, else clear (the fold decides; scores don't know of alerts)
    MISSING  covered, but there is no value
    UNKNOWN  not covered; the same for all series of a policy
    GONE     the first evaluation at which the series no longer exists

CLEAR is the default and is not stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class EvaluationClass(IntEnum):
    CLEAR = 0
    BREACH = 1
    BETWEEN = 2
    MISSING = 3
    UNKNOWN = 4
    GONE = 5


@dataclass(frozen=True)
class Scores:
    """What one policy found.

    Attributes:
        times: evaluation times in minutes since 1970 UTC, ascending, ``interval`` apart; (T,).
        interval: minutes between evaluations.
        groups: label set of each series, as values of the policy's group labels; length G.
        classes: EvaluationClass values, int8; (T, G). UNKNOWN is what is unknown of that series
            alone; see ``unknown``.
        values: the signal's value, NaN where there is none, float64; (T, G).
        unknown: evaluations at which series are unknown unless their class says otherwise, bool;
            (T,). CLEAR says nothing.
    """

    times: NDArray[np.int64]
    interval: int
    groups: Sequence[tuple[str, ...]]
    classes: NDArray[np.int8]
    values: NDArray[np.float64]
    unknown: NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """Evaluation times first, first + interval, … last of one class, for one series.

    ``values`` has one value an evaluation for BREACH and BETWEEN, else it is empty.
    """

    series: int
    first: int
    last: int
    evaluation_class: EvaluationClass
    values: NDArray[np.float64]


#: An interval's evaluation times lie within one UTC day, which ends with midnight's evaluation:
#: so one that touches a time is found within a day before it.
DAY = 24 * 60


def day_of(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """The day of each evaluation time, counted from 1970; midnight's belongs to the one before."""
    return (times - 1) // DAY


def evaluation_times(interval: int, after: int, until: int) -> NDArray[np.int64]:
    """The times on the grid of ``interval`` minutes in (after, until], ascending; (T,)."""
    return np.arange((after // interval + 1) * interval, until + 1, interval, dtype=np.int64)


_NO_VALUES: NDArray[np.float64] = np.empty(0, dtype=np.float64)
_WITH_VALUES = (EvaluationClass.BREACH, EvaluationClass.BETWEEN)


def runs(
    codes: NDArray[np.int8], cuts: NDArray[np.int64] | None = None
) -> Iterator[tuple[int, int, int]]:
    """Maximal runs of equal codes as (start, stop, code), stop exclusive; zeros are left out.

    Runs end at ``cuts`` too: indices at which new ones begin.
    """
    if not codes.any():
        return
    edges = np.flatnonzero(np.diff(codes)) + 1
    if cuts is not None and len(cuts):
        edges = np.union1d(edges, cuts)
    starts = np.concatenate(([0], edges))
    stops = np.concatenate((edges, [len(codes)]))
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        if codes[start]:
            yield start, stop, int(codes[start])


def intervals(scores: Scores, series_ids: Sequence[int]) -> list[Interval]:
    """Scores as intervals per series; unknown once, as series 0. Those of one UTC day are maximal.

    ``series_ids`` has the id of each group.
    """
    found: list[Interval] = []
    days = day_of(scores.times)
    cuts = np.flatnonzero(np.diff(days)) + 1
    for start, stop, _ in runs(scores.unknown.astype(np.int8), cuts):
        found.append(
            Interval(
                0,
                int(scores.times[start]),
                int(scores.times[stop - 1]),
                EvaluationClass.UNKNOWN,
                _NO_VALUES,
            )
        )
    for column in np.flatnonzero(scores.classes.any(axis=0)).tolist():
        for start, stop, code in runs(scores.classes[:, column], cuts):
            kind = EvaluationClass(code)
            values = scores.values[start:stop, column].copy()
            found.append(
                Interval(
                    series_ids[column],
                    int(scores.times[start]),
                    int(scores.times[stop - 1]),
                    kind,
                    values if kind in _WITH_VALUES else _NO_VALUES,
                )
            )
    return found


def merge(parts: Sequence[Interval], interval: int) -> list[Interval]:
    """Join touching intervals of one series, class and day, so that stored ones are maximal."""
    merged: list[Interval] = []
    for part in sorted(parts, key=lambda item: (item.series, item.first)):
        before = merged[-1] if merged else None
        if (
            before is not None
            and before.series == part.series
            and before.evaluation_class is part.evaluation_class
            and before.evaluation_class is not EvaluationClass.GONE
            and before.last + interval == part.first
            and (before.first - 1) // DAY == (part.first - 1) // DAY
        ):
            merged[-1] = Interval(
                before.series,
                before.first,
                part.last,
                before.evaluation_class,
                np.concatenate((before.values, part.values)),
            )
        else:
            merged.append(part)
    return merged


def clip(part: Interval, after: int, until: int, interval: int) -> Interval | None:
    """The evaluations of ``part`` in (after, until], or None."""
    first, last = part.first, part.last
    if first <= after:
        first += (after - first) // interval * interval + interval
    if last > until:
        last -= -(-(last - until) // interval) * interval
    if first > last:
        return None
    if not len(part.values):
        return Interval(part.series, first, last, part.evaluation_class, _NO_VALUES)
    low = (first - part.first) // interval
    high = (last - part.first) // interval + 1
    return Interval(part.series, first, last, part.evaluation_class, part.values[low:high])
