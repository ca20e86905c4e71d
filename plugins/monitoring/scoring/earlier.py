"""The same window some time earlier: what a value is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.signal_policy import MeasuredPolicy
from monitoring.scoring.facts import Facts, Selection
from monitoring.scoring.lookback import Lookback
from monitoring.scoring.measure import measure


@dataclass(frozen=True)
class Earlier:
    """References at K offsets, of T evaluations and G groups.

    Attributes:
        values: the signal's value, float64; (K, T, G). NaN where there is none: as of
            ``measure``, and of a count where the series did not live yet, or no longer, when the
            window began. Before its first sample a count is not zero, it is nothing.
        unknown: references that are not covered as the policy asks, bool; (K, T).
    """

    values: NDArray[np.float64]
    unknown: NDArray[np.bool_]


def read_with_earlier(
    facts: Facts, policy: MeasuredPolicy, times: NDArray[np.int64], offsets: Sequence[int]
) -> tuple[Lookback, Earlier]:
    """The lookbacks of a policy, and what they were ``offsets`` minutes earlier.

    Only those minutes are read, unless reading all of them between is less.

    Args:
        times: evaluation times in minutes, ascending; (T,).
        offsets: ascending, each at least 1; K.
    """
    window, span = policy.window_minutes, int(times[-1] - times[0])
    if offsets[-1] + window + span <= (len(offsets) + 1) * (window + span):
        return _at_once(facts, policy, times, offsets)
    return _one_by_one(facts, policy, times, offsets)


def _at_once(
    facts: Facts, policy: MeasuredPolicy, times: NDArray[np.int64], offsets: Sequence[int]
) -> tuple[Lookback, Earlier]:
    window, delay = policy.window_minutes, policy.delay_minutes
    matrix = Lookback.read(facts, policy, times, window + offsets[-1]).matrix
    earlier = np.concatenate([times - offset for offset in offsets])
    values, unknown = _references(policy, Lookback(matrix, earlier, window, delay))
    shape = (len(offsets), len(times))
    return (
        Lookback(matrix, times, window, delay),
        Earlier(values.reshape(*shape, len(matrix.groups)), unknown.reshape(shape)),
    )


def _one_by_one(
    facts: Facts, policy: MeasuredPolicy, times: NDArray[np.int64], offsets: Sequence[int]
) -> tuple[Lookback, Earlier]:
    window, delay = policy.window_minutes, policy.delay_minutes
    look = Lookback.read(facts, policy, times, window)
    column = {group: at for at, group in enumerate(look.matrix.groups)}
    values = np.full((len(offsets), len(times), len(column)), np.nan)
    unknown = np.empty((len(offsets), len(times)), dtype=np.bool_)
    # only of a count does it matter how long ago the last sample was
    memory = policy.memory_minutes if policy.signal_definition.kind == "count" else 0
    for number, offset in enumerate(offsets):
        newest = times - offset
        first, stop = int(newest[0]) - delay - window, int(newest[-1]) - delay
        matrix = facts.matrix(Selection.of(policy), first, stop, memory)
        found, unknown[number] = _references(policy, Lookback(matrix, newest, window, delay))
        shared = [at for at, group in enumerate(matrix.groups) if group in column]
        values[number][:, [column[matrix.groups[at]] for at in shared]] = found[:, shared]
    return look, Earlier(values, unknown)


def _references(
    policy: MeasuredPolicy, look: Lookback
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = measure(policy, look)
    if policy.signal_definition.kind == "count":
        values[~look.alive(policy.forget_minutes, look.window - 1)] = np.nan
    return values, look.unknown(policy.coverage_needed)
