"""Kind ``absence``: a series that stopped, or a declared one that never appeared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.policy.absence import AbsencePolicy
from monitoring.scoring.classes import EvaluationClass, Scores
from monitoring.scoring.facts import Facts
from monitoring.scoring.lookback import Lookback


def score_absence(policy: AbsencePolicy, facts: Facts, times: NDArray[np.int64]) -> Scores:
    """Class and value of every series at every evaluation time.

    The value is the number of covered minutes since the series' last sample. It is looked for as
    far back as a series is remembered, twice ``forget`` on the clock: for a declared series
    without a sample there, the value is the number of covered minutes looked back at. NaN where a
    series doesn't live.

    Args:
        times: evaluation times in minutes, ascending, the policy's interval apart; (T,).
    """
    # one minute: what was before it is told by when the series last had a sample
    look = Lookback.read(facts, policy, times, 1)
    known = look.matrix.groups
    expected = set(policy.expected_groups)
    groups = [*known, *sorted(expected.difference(known))]
    declared = np.array([group in expected for group in groups], dtype=np.bool_)
    unknown = look.unknown(1.0)

    quiet, clock = look.since_sample()
    covered = look.covered_within(policy.memory_minutes)[:, np.newaxis]
    # a range that begins earlier sees older samples: the value must not depend on that
    quiet = np.where(clock > policy.memory_minutes, covered, quiet)
    quiet = np.hstack((quiet, np.repeat(covered, len(groups) - len(known), axis=1)))

    absent = (quiet >= policy.window_minutes) & ~unknown[:, np.newaxis]
    classes = np.where(absent, EvaluationClass.BREACH, EvaluationClass.CLEAR).astype(np.int8)
    values = quiet.astype(np.float64)
    mortal = np.flatnonzero(~declared)  # all of them are known
    lives = classes[:, : len(known)].copy()
    look.bound_to_life(lives, unknown, policy.forget_minutes, policy.interval)
    classes[:, mortal] = lives[:, mortal]
    alive = look.alive(policy.forget_minutes)[:, mortal]
    values[:, mortal] = np.where(alive, values[:, mortal], np.nan)
    return Scores(times, policy.interval, groups, classes, values, unknown)
