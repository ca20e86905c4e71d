"""When the series of a policy fire, as composites see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Group = tuple[str, ...]
#: Minutes [first, stop).
Span = tuple[int, int]


@dataclass(frozen=True)
class Firing:
    """The firing states of a policy's series over a range of time.

    Attributes:
        labels: names of the labels that tell the series apart.
        firing: series to the spans in which it fires.
        unknown: spans in which no series' state is known.
        unknown_series: series to the spans in which its own state is not known.
    """

    labels: tuple[str, ...]
    firing: Mapping[Group, Sequence[Span]]
    unknown: Sequence[Span] = ()
    unknown_series: Mapping[Group, Sequence[Span]] = field(default_factory=dict)

    def groups(self, by: Sequence[str]) -> set[Group]:
        """The groups of ``by`` in which a series fires or is unknown."""
        return {self._group(one, by) for one in (*self.firing, *self.unknown_series)}

    def states(
        self, by: Sequence[str], groups: Sequence[Group], times: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether any series of a group fires, and whether none does; each (T, G).

        Where both are false nobody knows. A state that is only held through unknown evaluations
        is not known.
        """
        position = {group: at for at, group in enumerate(groups)}
        nobody_knows = within(times, self.unknown)
        fires = np.zeros((len(times), len(groups)), dtype=np.bool_)
        unknown = np.repeat(nobody_knows[:, np.newaxis], len(groups), axis=1)
        for series in {*self.firing, *self.unknown_series}:
            at = position[self._group(series, by)]
            own = nobody_knows | within(times, self.unknown_series.get(series, ()))
            fires[:, at] |= within(times, self.firing.get(series, ())) & ~own
            unknown[:, at] |= own
        return fires, ~fires & ~unknown

    def _group(self, series: Group, by: Sequence[str]) -> Group:
        values = dict(zip(self.labels, series, strict=True))
        return tuple(values.get(name, "") for name in by)


def within(times: NDArray[np.int64], spans: Iterable[Span]) -> NDArray[np.bool_]:
    """Which of ``times``, ascending, lie in any of the spans; (T,)."""
    result = np.zeros(len(times), dtype=np.bool_)
    for first, stop in spans:
        low, high = np.searchsorted(times, (first, stop))
        result[low:high] = True
    return result
