"""Kind ``composite``: policies combined by and, or and unless, in three-valued logic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.composite import CompositePolicy
from monitoring.scoring.classes import EvaluationClass, Scores
from monitoring.scoring.firing import Firing, Group

#: The group of all series that no operand says anything about.
_NOBODY: Group = ("\0",)


def score_composite(
    policy: CompositePolicy, operands: Mapping[str, Firing], times: NDArray[np.int64]
) -> Scores:
    """Class of every group at every evaluation time; the value of a breach is 1.

    The logic is Kleene's: a result is known where no value of what is unknown would change it.

    Args:
        operands: the firing states of every policy that it names, over all of ``times``.
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    by = policy.group_labels
    named = sorted({group for one in operands.values() for group in one.groups(by)})
    groups = [*named, _NOBODY]
    shape = (len(times), len(groups))
    holds, fails = np.ones(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    some, none = np.zeros(shape, dtype=np.bool_), np.ones(shape, dtype=np.bool_)
    for name in policy.operands:
        fires, rests = operands[name].states(by, groups, times)
        if name in policy.any:
            some |= fires
            none &= rests
        else:
            wanted, unwanted = (fires, rests) if name in policy.all else (rests, fires)
            holds &= wanted
            fails |= unwanted
    if policy.any:
        holds &= some
        fails |= none
    # where nobody is heard of, the result is false or unknown, for all other groups alike
    unknown = ~fails[:, -1]
    holds, fails = holds[:, :-1], fails[:, :-1]
    classes = np.zeros(holds.shape, dtype=np.int8)
    classes[~holds & ~fails & ~unknown[:, np.newaxis]] = EvaluationClass.UNKNOWN
    # clear is what is not stored, so for what is clear among unknown ones it has to be said:
    # a composite takes missing for clear
    classes[fails & unknown[:, np.newaxis]] = EvaluationClass.MISSING
    classes[holds] = EvaluationClass.BREACH
    values = np.where(holds, 1.0, np.nan)
    return Scores(times, policy.interval, named, classes, values, unknown)
