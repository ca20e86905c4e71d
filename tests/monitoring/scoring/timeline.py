"""Series in memory, and what a policy makes of them: one character an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st
from monitoring.policy.definition import Policy
from monitoring.scoring.classes import Scores
from monitoring.scoring.memory import MemoryFacts, Samples
from monitoring.scoring.registry import score

#: Minute 0 of a test. A multiple of every interval that tests use.
BEGIN = 10_000
#: clear, breach, between, missing, unknown (of one series), gone
NAMES = ".B~m?x"


def facts_of(
    column: str,
    series: Sequence[tuple[Mapping[str, str], Mapping[int, float]]],
    gaps: Sequence[tuple[int, int]] = (),
) -> MemoryFacts:
    """Series as (labels, value by minute); minutes count from BEGIN."""
    samples = [
        Samples(
            labels,
            np.array(sorted(values), dtype=np.int64) + BEGIN,
            np.array([values[minute] for minute in sorted(values)], dtype=np.float64),
        )
        for labels, values in series
    ]
    spans = [(first + BEGIN, stop + BEGIN) for first, stop in gaps]
    return MemoryFacts({column: samples}, {column: spans})


def at(*minutes: int, value: float = 1.0) -> dict[int, float]:
    """The same value in each of the minutes."""
    return dict.fromkeys(minutes, value)


def scores_of(policy: Policy, facts: MemoryFacts, after: int, until: int) -> Scores:
    """Scores of the evaluations in (after, until], counted from BEGIN."""
    step = policy.interval
    times = np.arange(after // step * step + step, until + 1, step, dtype=np.int64) + BEGIN
    return score(policy, facts, times)


def timeline(policy: Policy, facts: MemoryFacts, after: int, until: int) -> dict[tuple, str]:
    """The classes of each series, ``?`` where the evaluation is unknown."""
    scores = scores_of(policy, facts, after, until)
    return {
        group: "".join(
            "?" if unknown and NAMES[code] == "." else NAMES[code]
            for code, unknown in zip(column.tolist(), scores.unknown.tolist(), strict=True)
        )
        for group, column in zip(scores.groups, scores.classes.T, strict=True)
    }


def values(policy: Policy, facts: MemoryFacts, after: int, until: int) -> dict[tuple, list]:
    """The values of each series; None for NaN."""
    scores = scores_of(policy, facts, after, until)
    return {
        group: [None if np.isnan(value) else value for value in column.tolist()]
        for group, column in zip(scores.groups, scores.values.T, strict=True)
    }


def assert_same_in_parts(policy: Policy, facts: MemoryFacts, cuts: Sequence[int]) -> None:
    """Scoring (first cut, last cut] at once gives what scoring it in parts gives.

    A series that a part doesn't know is clear there in the whole.
    """
    whole = scores_of(policy, facts, cuts[0], cuts[-1])
    where = {group: column for column, group in enumerate(whole.groups)}
    row = 0
    for after, until in pairwise(cuts):
        part = scores_of(policy, facts, after, until)
        rows = slice(row, row + len(part.times))
        row += len(part.times)
        assert (whole.times[rows] == part.times).all()
        assert (whole.unknown[rows] == part.unknown).all()
        unseen = set(where)
        for column, group in enumerate(part.groups):
            unseen.discard(group)
            if group not in where:
                assert not part.classes[:, column].any()
                continue
            same = where[group]
            assert whole.classes[rows, same].tolist() == part.classes[:, column].tolist()
            np.testing.assert_array_equal(whole.values[rows, same], part.values[:, column])
        for group in unseen:
            assert not whole.classes[rows, where[group]].any()
    assert row == len(whole.times)


@st.composite
def _some_series(draw, labels: Sequence[Mapping[str, str]], until: int = 60):
    """Random samples of series with ``labels``, in [0, until), and random gaps."""
    minutes = st.integers(0, until - 1)
    dense = st.builds(
        lambda first, stop, step: at(*range(first, stop, step)), minutes, minutes, st.integers(1, 3)
    )
    sparse = st.sets(minutes, max_size=4).map(lambda some: at(*some))
    series = [(one, {**draw(dense), **draw(sparse)}) for one in labels]
    gaps = draw(st.lists(st.tuples(minutes, st.integers(1, 9)), max_size=3))
    return series, [(first, first + length) for first, length in gaps]


@st.composite
def some_facts(draw, column: str, labels: Sequence[Mapping[str, str]]):
    """Facts of random samples, of series with ``labels``, and random gaps."""
    return facts_of(column, *draw(_some_series(labels)))


@st.composite
def changed_facts(draw, column: str, labels: Sequence[Mapping[str, str]]):
    """Facts, the same with one minute changed, and that minute."""
    series, gaps = draw(_some_series(labels))
    series.append((labels[0], at(-200)))  # that history began doesn't depend on the change
    minute = draw(st.integers(0, 59))
    if draw(st.booleans()):
        other = [*series, (draw(st.sampled_from(labels)), at(minute))], gaps
    else:
        other = series, [*gaps, (minute, minute + 1)]
    return facts_of(column, series, gaps), facts_of(column, *other), minute


def assert_same_out_of_reach(
    policy: Policy, before: MemoryFacts, after: MemoryFacts, minute: int
) -> None:
    """Facts that differ in a minute give the same but in the evaluations that are done again."""
    reach = policy.lookback_minutes + policy.interval + policy.memory_minutes
    for low, high in ((0, minute), (minute + 1 + reach, minute + 61 + reach)):
        if low // policy.interval < high // policy.interval:
            found = [timeline(policy, facts, low, high) for facts in (before, after)]
            for group in {**found[0], **found[1]}:
                silent = "." * len(next(iter(found[0].values())))
                one, other = (some.get(group, silent).replace("?", ".") for some in found)
                assert one == other


def cuts(policy: Policy, until: int = 60):
    """Where to cut a range into parts that each hold an evaluation, from 1 to past ``until``."""
    grid = range(0, until + 10, policy.interval)
    return st.sets(st.sampled_from(grid), min_size=2).map(sorted)
