"""The state machine, against Prometheus' documented timelines and a naive walk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from monitoring.alerts.series_state import FoldState, dump_state, load_state
from monitoring.alerts.state import fold
from monitoring.alerts.transition import Transition
from monitoring.policy.kinds import parse_policy
from monitoring.scoring.classes import EvaluationClass, Interval, clip, runs

SERIES = 7
LETTERS = {
    ".": EvaluationClass.CLEAR,
    "B": EvaluationClass.BREACH,
    "~": EvaluationClass.BETWEEN,
    "m": EvaluationClass.MISSING,
    "?": EvaluationClass.UNKNOWN,
    "x": EvaluationClass.GONE,
}


def policy(**fields):
    return parse_policy(
        {
            "name": "p",
            "kind": "threshold",
            "signal": "requests.timeout_ratio",
            "condition": "> 0.5",
            **fields,
        }
    )


def evidence(classes: str, start: int, interval: int):
    """Letters, one an evaluation from ``start``, as stored intervals and unknown spans."""
    codes = np.array([LETTERS[letter] for letter in classes], dtype=np.int8)
    parts, unknown = [], []
    for low, high, code in runs(codes):
        first, last = start + low * interval, start + (high - 1) * interval
        if code == EvaluationClass.UNKNOWN:
            unknown.append((first, last))
        elif code == EvaluationClass.GONE:
            parts += [
                Interval(SERIES, at, at, EvaluationClass.GONE, np.empty(0))
                for at in range(first, last + 1, interval)
            ]
        else:
            parts.append(
                Interval(
                    SERIES,
                    first,
                    last,
                    EvaluationClass(code),
                    np.arange(low, high, dtype=np.float64)
                    if code in (EvaluationClass.BREACH, EvaluationClass.BETWEEN)
                    else np.empty(0),
                )
            )
    return parts, unknown


def states_text(transitions: Sequence[Transition], start: int, count: int, interval: int) -> str:
    """The state after each evaluation: . inactive, P pending, F firing."""
    letters = {"inactive": ".", "resolved": ".", "pending": "P", "firing": "F"}
    text, state, rest = "", ".", [one for one in transitions if not one.is_mark]
    for index in range(count):
        at = start + index * interval
        while rest and rest[0].at == at:
            state = letters[rest.pop(0).to_state]
        text += state
    return text


def timeline(classes: str, interval: int = 1, **fields) -> str:
    start = 600
    definition = policy(evaluation_interval=f"{interval}m", **fields)
    parts, unknown = evidence(classes, start, interval)
    end = start + (len(classes) - 1) * interval
    _, transitions = fold(definition, {}, parts, unknown, start - interval, end)
    return states_text(transitions, start, len(classes), interval)


def test_for_is_pending_until_it_has_passed_and_fires_then():
    assert timeline(".BBBBBBB", **{"for": "5m"}) == ".PPPPPFF"


def test_for_shorter_than_the_interval_costs_one_pending_evaluation():
    assert timeline("BBB", interval=5, **{"for": "1m"}) == "PFF"


def test_without_for_it_fires_at_once():
    assert timeline(".B.") == ".F."


def test_a_clear_evaluation_ends_pending_at_once_and_pending_is_never_kept():
    assert timeline("BB.BB", **{"for": "2m", "keep_firing_for": "9m"}) == "PP.PP"


def test_keep_firing_for_is_exactly_two_extra_evaluations_at_one_minute():
    assert timeline("B....", keep_firing_for="2m") == "FFF.."


def test_a_breach_while_kept_continues_the_episode():
    start = 600
    parts, unknown = evidence("B.B..", start, 1)
    _, found = fold(policy(keep_firing_for="1m"), {}, parts, unknown, start - 1, start + 4)
    assert [(one.at - start, one.to_state) for one in found] == [
        (0, "pending"),
        (0, "firing"),
        (4, "resolved"),
    ]
    assert {one.active for one in found} == {start}


def test_unknown_freezes_the_clock_of_for():
    assert timeline("B????BBB", **{"for": "2m"}) == "PPPPPPFF"


def test_unknown_freezes_the_clock_of_keep_firing_for():
    assert timeline("B.???..", keep_firing_for="2m") == "FFFFFF."


def test_unknown_neither_opens_nor_resolves():
    assert timeline("??B???.") == "..FFFF."


def test_between_is_a_breach_only_while_firing_and_not_cleared():
    assert timeline("~B~~.~", keep_firing_for="9m", recover="< 0.1") == ".FFFFF"
    assert timeline("B~~.~~", keep_firing_for="2m", recover="< 0.1") == "FFFFF."
    assert timeline("B~B", recover="< 0.1", **{"for": "1m"}) == "P.P"


def test_missing_follows_no_data():
    assert timeline("Bmm.", no_data="hold") == "FFF."
    assert timeline("Bmm.", no_data="ok") == "F..."
    assert timeline(".mmm", no_data="alert", **{"for": "1m"}) == ".PFF"
    assert timeline("Bmm.", no_data="resolve", keep_firing_for="5m") == "F..."


def test_held_missing_lets_the_clocks_run():
    assert timeline("Bmm", no_data="hold", **{"for": "2m"}) == "PPF"
    assert timeline("B.mm", no_data="hold", keep_firing_for="2m") == "FFF."


def test_a_series_that_is_gone_ends_at_once():
    assert timeline("Bmx.", no_data="hold", keep_firing_for="9m") == "FF.."


def test_the_value_of_a_transition_is_that_of_its_evaluation():
    parts, unknown = evidence("BBBB", 600, 1)
    _, found = fold(policy(**{"for": "2m"}), {}, parts, unknown, 599, 603)
    assert [(one.to_state, one.value) for one in found] == [("pending", 0.0), ("firing", 2.0)]


def naive(definition, classes: str) -> str:
    """One evaluation at a time, written from DESIGN's sentences and not from the fold."""
    state, since, first_clear, clock, text = ".", 0, None, 0, ""
    for letter in classes:
        if letter == "?":
            text += state
            continue
        clock += definition.interval
        kind = letter
        if kind == "m":
            kind = {
                "hold": "B" if state != "." and first_clear is None else ".",
                "ok": ".",
                "alert": "B",
                "resolve": "x",
            }[definition.no_data]
        if kind == "~":
            kind = "B" if state == "F" and first_clear is None else "."
        if kind == "x":
            state, first_clear = ".", None
        elif kind == "B":
            first_clear = None
            if state == ".":
                state, since = "P", clock
            if state == "P" and clock - since >= definition.for_minutes:
                state = "F"
        elif state == "P":
            state = "."
        elif state == "F":
            first_clear = clock if first_clear is None else first_clear
            if clock - first_clear >= definition.keep_minutes:
                state, first_clear = ".", None
        text += state
    return text


@st.composite
def cases(draw):
    classes = draw(st.text(alphabet="..BBB~m??", max_size=40))
    fields = {
        "for": f"{draw(st.integers(0, 7))}m",
        "keep_firing_for": f"{draw(st.integers(0, 7))}m",
        "no_data": draw(st.sampled_from(["hold", "ok", "alert", "resolve"])),
        "recover": "< 0.1",
        "evaluation_interval": f"{draw(st.integers(1, 3))}m",
    }
    cuts = draw(st.lists(st.integers(0, len(classes)), max_size=4))
    return classes, fields, sorted(cuts)


@given(cases())
def test_the_fold_equals_a_walk_of_one_evaluation_at_a_time_however_it_is_split(case):
    classes, fields, cuts = case
    definition = policy(**fields)
    step = definition.interval
    start = 600 // step * step + step
    parts, unknown = evidence(classes, start, step)
    states: FoldState = {}
    transitions: list[Transition] = []
    bounds = [0, *cuts, len(classes)]
    for low, high in pairwise(bounds):
        after, until = start + (low - 1) * step, start + (high - 1) * step
        clipped = [one for part in parts if (one := clip(part, after, until, step)) is not None]
        spans = [(max(a, after + step), min(b, until)) for a, b in unknown]
        states, found = fold(
            definition, states, clipped, [s for s in spans if s[0] <= s[1]], after, until
        )
        states = load_state(dump_state(states))
        transitions += found
    assert states_text(transitions, start, len(classes), step) == naive(definition, classes)


def marks(classes: str, **fields):
    """Flapping marks as (index of the evaluation, reason, state of the marked episode)."""
    definition = policy(**fields)
    parts, unknown = evidence(classes, 600, 1)
    _, transitions = fold(definition, {}, parts, unknown, 599, 599 + len(classes))
    return [(one.at - 600, one.reason, one.to_state) for one in transitions if one.is_mark]


def test_flapping_begins_with_the_change_too_many_and_ends_after_a_calm_look_back():
    rule = {"lookback": 6, "changes": 3}
    # firing at 1, resolved at 2, firing at 4: three changes within six evaluations
    assert marks(".B.. B".replace(" ", "") + "." * 12, flapping=rule) == [
        (4, "flapping", "firing"),
        (11, "calm", "resolved"),
    ]
    # two of them are too old when the third comes
    assert marks(".B......B" + "." * 12, flapping=rule) == []
    assert marks(".B..B" + "." * 12, flapping=None) == []


def test_unknown_evaluations_neither_calm_nor_flap():
    rule = {"lookback": 6, "changes": 3}
    assert marks(".B..B.??????....." + "." * 3, flapping=rule) == [
        (4, "flapping", "firing"),
        (17, "calm", "resolved"),
    ]


def test_a_calm_mark_is_of_the_episode_in_which_flapping_began():
    rule = {"lookback": 4, "changes": 3}
    found = marks(".B.BBBBBBBBB", flapping=rule)
    assert found == [(3, "flapping", "firing"), (7, "calm", "firing")]


def test_no_alert_opens_while_its_series_cools_down():
    # it resolves at index 2; cooling for four minutes it opens again at index 6
    assert timeline("BB.BBBBB", cooldown="4m") == "FF...." + "FF"
    # what never fired leaves nothing to cool down from
    assert timeline("B.BBB", cooldown="9m", **{"for": "2m"}) == "P.PPF"
    # unknown time does not cool
    assert timeline("B.??BBBB", cooldown="3m") == "F" + "....." + "FF"


def test_what_is_unknown_of_a_series_alone_freezes_that_series():
    parts, _ = evidence("BB", 600, 1)
    gap = Interval(SERIES, 602, 604, EvaluationClass.UNKNOWN, np.empty(0))
    (again, *_), _ = evidence("B", 605, 1)
    definition = policy(**{"for": "2m"})
    _, transitions = fold(definition, {}, [*parts, gap, again], [], 599, 606)
    assert [(one.at - 600, one.to_state) for one in transitions] == [
        (0, "pending"),
        (5, "firing"),
        (6, "resolved"),
    ]


@st.composite
def lively_cases(draw):
    classes = draw(st.text(alphabet="..BBBB~m?x", max_size=60))
    fields = {
        "for": f"{draw(st.integers(0, 2))}m",
        "keep_firing_for": f"{draw(st.integers(0, 2))}m",
        "cooldown": f"{draw(st.integers(0, 5))}m",
        "flapping": {"lookback": draw(st.integers(2, 9)), "changes": draw(st.integers(2, 4))},
        "recover": "< 0.1",
        "evaluation_interval": f"{draw(st.integers(1, 2))}m",
    }
    cuts = draw(st.lists(st.integers(0, len(classes)), max_size=5))
    acts = draw(st.lists(st.integers(0, max(len(classes) - 1, 0)), max_size=3))
    return classes, fields, sorted(cuts), sorted(acts)


@given(lively_cases())
def test_marks_cool_downs_and_acts_do_not_depend_on_where_the_fold_is_split(case):
    classes, fields, cuts, acts = case
    definition = policy(**fields)
    step = definition.interval
    start = 600 // step * step + step
    parts, unknown = evidence(classes, start, step)
    times = [start + index * step for index in acts]

    def over(bounds):
        states: FoldState = {}
        transitions: list[Transition] = []
        for low, high in pairwise(bounds):
            after, until = start + (low - 1) * step, start + (high - 1) * step
            clipped = [one for part in parts if (one := clip(part, after, until, step)) is not None]
            spans = [(max(a, after + step), min(b, until)) for a, b in unknown]
            spans = [one for one in spans if one[0] <= one[1]]
            due = {SERIES: [at for at in times if after < at <= until]}
            states, found = fold(definition, states, clipped, spans, after, until, due)
            states = load_state(dump_state(states))
            transitions += found
        return states, transitions

    assert over([0, *cuts, len(classes)]) == over([0, len(classes)])
