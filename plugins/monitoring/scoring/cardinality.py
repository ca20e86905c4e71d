"""Kind ``cardinality``: how many values of a label there are, against a condition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.cardinality import CardinalityPolicy
from monitoring.scoring.classes import Scores
from monitoring.scoring.facts import Facts, Selection
from monitoring.scoring.lookback import Lookback
from monitoring.scoring.matrix import SignalMatrix
from monitoring.scoring.measure import compare


def score_cardinality(policy: CardinalityPolicy, facts: Facts, times: NDArray[np.int64]) -> Scores:
    """Class and value of every series at every evaluation time.

    Args:
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    selection = replace(Selection.of(policy), by=(*policy.group_labels, policy.label))
    each = Lookback.read(facts, policy, times, policy.window_minutes, selection)
    matrix, starts = _without_last_label(each.matrix)
    counted = np.array([group[-1] != "" for group in each.matrix.groups], dtype=np.bool_)
    present = (each.sum(each.matrix.sampled.astype(np.float64)) > 0) & counted
    values = _joined(np.add, present.astype(np.float64), starts)
    classes = compare(values, policy.condition, policy.recover)
    look = Lookback(matrix, times, policy.window_minutes, policy.delay_minutes)
    return look.scores(policy, classes, values, look.unknown(policy.coverage_needed))


def _without_last_label(matrix: SignalMatrix) -> tuple[SignalMatrix, NDArray[np.int64]]:
    """The life of groups told apart by all labels but the last, and where each begins among the
    groups of ``matrix``, which are sorted."""
    wider = [group[:-1] for group in matrix.groups]
    starts = np.array(
        [at for at, group in enumerate(wider) if at == 0 or group != wider[at - 1]], dtype=np.int64
    )
    joined = replace(
        matrix,
        groups=[wider[at] for at in starts.tolist()],
        columns={},
        sampled=_joined(np.logical_or, matrix.sampled, starts),
        last_before=_joined(np.maximum, matrix.last_before, starts),
    )
    return joined, starts


def _joined(ufunc: np.ufunc, cells: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    """``ufunc`` over neighbouring groups, on the last axis; each begins at one of ``starts``."""
    result: NDArray[Any] = ufunc.reduceat(cells, starts, axis=-1) if len(starts) else cells
    return result
