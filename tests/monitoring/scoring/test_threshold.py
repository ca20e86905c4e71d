"""Kind threshold: values, classes, coverage and the life of series."""

from __future__ import annotations

import numpy as np
from monitoring.policy.kinds import parse_policy
from monitoring.scoring.classes import EvaluationClass
from monitoring.scoring.matrix import NEVER, SignalMatrix
from monitoring.scoring.registry import score

FIRST = 10_000
NAMES = {0: ".", 1: "B", 2: "~", 3: "m", 5: "x"}


def policy(**fields):
    base = {
        "name": "p",
        "kind": "threshold",
        "signal": "requests.count",
        "window": "1m",
        "condition": "> 5",
    }
    return parse_policy({**base, **fields})


class Given:
    """Facts that are one matrix, whatever is asked."""

    def __init__(self, matrix: SignalMatrix):
        self._matrix = matrix

    def matrix(self, selection, first, stop, memory=0):
        assert first == self._matrix.first
        assert stop <= first + self._matrix.minutes
        return self._matrix


def classes(definition, columns, *, covered=None, sampled=None, last_before=NEVER, back=0):
    """Classes of one series; the first evaluation looks at the newest minute of a full lookback.

    ``columns`` are lists of values a minute (None: no sample); ``back`` minutes of coverage lie
    before them.
    """
    arrays = {
        name: np.array([[np.nan if v is None else v] for v in values], dtype=np.float64)
        for name, values in columns.items()
    }
    has = ~np.isnan(np.stack(list(arrays.values()))).all(axis=0)
    if definition.signal_definition.kind != "gauge":
        arrays = {name: np.nan_to_num(values) for name, values in arrays.items()}
    minutes = len(has)
    matrix = SignalMatrix(
        FIRST,
        [("a",)],
        arrays,
        has if sampled is None else np.array(sampled)[:, np.newaxis],
        np.concatenate(
            (np.ones(back, dtype=bool), np.ones(minutes, bool) if covered is None else covered)
        ),
        np.array([last_before], dtype=np.int64),
    )
    begin = FIRST + definition.lookback_minutes + definition.interval
    times = np.arange(begin, FIRST + minutes + 1, definition.interval)
    scores = score(definition, Given(matrix), times)
    text = "".join(
        "?" if unknown else NAMES[int(code)]
        for code, unknown in zip(scores.classes[:, 0], scores.unknown, strict=True)
    )
    return text, scores


def test_a_count_is_summed_over_the_window_and_the_condition_is_strict():
    text, scores = classes(policy(window="3m"), {"requests": [0, 2, 2, 1, 1, 3, 0, 0]})
    assert scores.values[:, 0].tolist() == [5, 4, 5, 4, 3]
    assert text == "....."
    text, _ = classes(policy(window="3m"), {"requests": [0, 2, 2, 2, 0, 0, 0, 0]})
    assert text == "B...."


def test_a_ratio_needs_its_samples():
    ratio = policy(
        signal="requests.timeout_ratio", condition="> 0.5", min_samples=10, no_data="hold"
    )
    text, _ = classes(ratio, {"timeout": [0, 0, 9, 9, 0], "requests": [0, 0, 9, 10, 0]})
    assert text == "mmBm"


def test_no_data_ok_makes_missing_clear():
    ratio = policy(signal="requests.timeout_ratio", condition="> 0.5", no_data="ok")
    text, _ = classes(ratio, {"timeout": [0, 0, 1, 0], "requests": [0, 0, 1, 0]})
    assert text == ".B."


def test_between_the_condition_and_recovery():
    text, _ = classes(policy(recover="< 2"), {"requests": [0, 0, 6, 4, 2, 1]})
    assert text == ".B~~."


def test_gauges_aggregate_only_minutes_with_a_sample():
    gauge = policy(signal="containers.cpu_percent", window="3m", condition="> 50")
    columns = {"cpu_percent": [None, None, None, 90, None, 20, None, None, None]}
    text, scores = classes(gauge, columns, back=4000)
    assert scores.values[:, 0].tolist()[:4] == [90, 90, 55, 20]
    assert text == "BBB..m"


def test_an_uncovered_newest_minute_is_unknown_and_so_is_too_little_coverage():
    covered = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1], dtype=bool)
    text, _ = classes(policy(window="3m"), {"requests": [9] * 9}, covered=covered)
    assert text == "B???BB"


def test_min_coverage_lets_a_long_window_miss_some_minutes():
    covered = np.ones(40, dtype=bool)
    covered[35] = False
    long = policy(window="20m", condition="> 0")
    text, scores = classes(long, {"requests": [1] * 40}, covered=covered)
    assert text == "BBBBBBBBBBBBBBB?BBBB"
    assert scores.values[-1, 0] == 19  # the uncovered minute adds nothing


def test_silence_is_scored_only_while_the_series_lives():
    silence = policy(condition="< 1", forget="3m")
    columns = {"requests": [None, None, None, 4, None, None, None, None, None]}
    text, _ = classes(silence, columns, back=10)
    assert text == "...BBx.."


def test_a_series_lives_on_from_a_sample_before_the_range():
    silence = policy(condition="< 1", forget="5m")
    text, _ = classes(silence, {"requests": [None] * 6}, last_before=FIRST - 1, back=20)
    assert text == "BBBx."


def test_uncovered_time_does_not_make_a_series_forgotten():
    silence = policy(condition="< 1", forget="3m")
    covered = np.array([1, 1, 1, 1, 1, 0, 0, 1, 1, 1], dtype=bool)
    columns = {"requests": [None, None, None, 4, None, None, None, None, None, None]}
    text, _ = classes(silence, columns, covered=covered, back=10)
    assert text == "...B??Bx."


def test_delay_shifts_the_lookback():
    _, scores = classes(policy(delay="2m"), {"requests": [0, 1, 2, 3, 4, 5]})
    assert scores.values[:, 0].tolist() == [1, 2, 3]


def test_unknown_cells_store_nothing():
    covered = np.array([1, 1, 0, 1], dtype=bool)
    _, scores = classes(policy(), {"requests": [9, 9, 9, 9]}, covered=covered)
    assert EvaluationClass.BREACH not in scores.classes[scores.unknown]
