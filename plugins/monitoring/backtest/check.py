"""Unit tests of policies, run: what was expected against what came. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import ndiff

import numpy as np

from monitoring.backtest.cases import (
    AlertRuleTest,
    Case,
    CaseFile,
    ExpectedNotification,
    ExpectedStates,
)
from monitoring.backtest.notifications import notifications
from monitoring.backtest.routing_cases import expected_lines, routed, routed_lines
from monitoring.backtest.run import Grid, PolicyRun, episodes, run_policies
from monitoring.duration import format_duration
from monitoring.policy.annotations import render
from monitoring.policy.definition import MINUTE
from monitoring.scoring.memory import MemoryFacts, Samples
from userdb.times import to_minute

#: When every test begins: a Monday, midnight UTC.
START = to_minute(datetime(2024, 1, 1, tzinfo=UTC))

Labels = Mapping[str, str]
Runs = Mapping[str, PolicyRun]
Unmet = tuple[tuple[str | int, ...], str, Sequence[str]]


@dataclass(frozen=True)
class Failure:
    """An expectation that was not met.

    Attributes:
        test: index of the test in its file.
        line: of the expectation in its file.
        what: which test, and which expectation.
        difference: lines; those that begin with ``-`` were expected, those with ``+`` came.
    """

    test: int
    line: int
    what: str
    difference: tuple[str, ...]


def check_cases(file: CaseFile) -> list[Failure]:
    """Run all tests of a file."""
    found = []
    for index, case in enumerate(file.cases):
        runs = run_case(file, case)
        title = f"tests[{index}]" + (f" {case.name}" if case.name else "")
        until = START + _until(file, case)
        unmet = [*_unmet(case, runs), *_unmet_routes(file, case, runs, until)]
        for place, what, difference in unmet:
            line = file.locate(("tests", index, *place))
            found.append(Failure(index, line, f"{title}: {what}", tuple(difference)))
    return found


def run_case(file: CaseFile, case: Case) -> dict[str, PolicyRun]:
    """Run all policies of the file on a test's input, for as long as it has input or expects
    something."""
    facts = _facts(case, _step(file, case))
    grid = Grid(START, START + _until(file, case), file.every)
    return run_policies(file.policies.values(), facts, grid, facts.groups)


def _step(file: CaseFile, case: Case) -> int:
    return file.step if case.interval is None else case.interval // MINUTE


def _until(file: CaseFile, case: Case) -> int:
    """The last minute of a test, from its start."""
    longest = max((len(one.values) for one in case.input_series), default=1)
    intervals = [file.every or policy.interval for policy in file.policies.values()]
    states = max((len(one.states) for one in case.exp_states), default=1)
    times = [
        *(one.eval_time for one in case.alert_rule_test),
        *(one.time for one in case.exp_notifications or ()),
        *case.offsets(),
    ]
    return max(
        (longest - 1) * _step(file, case),
        (states - 1) * max(intervals, default=1),
        *(time // MINUTE for time in times),
        0,
    )


def _facts(case: Case, step: int) -> MemoryFacts:
    columns: dict[str, list[Samples]] = {}
    for one in case.input_series:
        given = [(at, value) for at, value in enumerate(one.values) if value is not None]
        # the bucket that ends at a time is named by the minute before
        minutes = START - 1 + step * np.array([at for at, _ in given], dtype=np.int64)
        values = np.array([value for _, value in given], dtype=np.float64)
        columns.setdefault(one.series.name, []).append(Samples(one.series.labels, minutes, values))
    gaps: dict[str, list[tuple[int, int]]] = {}
    for gap in case.gaps:
        for column in gap.columns:
            gaps.setdefault(column, []).append(
                (START + gap.begin // MINUTE, START + gap.end // MINUTE)
            )
    return MemoryFacts(columns, gaps)


def _unmet(case: Case, runs: Runs) -> Iterator[Unmet]:
    """Where an expectation stands in its test, what it is of, and the difference."""
    for at, test in enumerate(case.alert_rule_test):
        if difference := _alerts_difference(test, runs[test.alertname]):
            when = format_duration(test.eval_time)
            yield ("alert_rule_test", at), f"alerts of {test.alertname} at {when}", difference
    for at, states in enumerate(case.exp_states):
        if difference := _states_difference(states, runs[states.policy]):
            what = f"states of {states.policy} {_labels_text(states.labels)}"
            yield ("exp_states", at), what, difference
    if case.exp_notifications is not None and (
        difference := _notifications_difference(case.exp_notifications, runs)
    ):
        yield ("exp_notifications",), "notifications", difference


def _unmet_routes(file: CaseFile, case: Case, runs: Runs, until: int) -> Iterator[Unmet]:
    if case.exp_routes is None:
        return
    came = routed_lines(routed(case, file.routing, runs, START, until), START)
    if difference := _difference(expected_lines(case.exp_routes), came):
        yield ("exp_routes",), "routes", difference


def _difference(expected: Iterable[str], came: Iterable[str]) -> list[str]:
    """Lines of both, marked; empty where they are the same."""
    expected, came = sorted(expected), sorted(came)
    if expected == came:
        return []
    return [line.rstrip() for line in ndiff(expected, came)]


def _labels_text(labels: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


def _alerts_difference(test: AlertRuleTest, run: PolicyRun) -> list[str]:
    expected, annotated = [], set()
    for alert in test.exp_alerts:
        text = _labels_text(alert.exp_labels)
        if alert.exp_annotations is not None:
            annotated.add(text)
            text = _annotated(text, alert.exp_annotations)
        expected.append(text)
    came = []
    for labels, texts in _firing(run, START + test.eval_time // MINUTE):
        text = _labels_text(labels)
        came.append(_annotated(text, texts) if text in annotated else text)
    return _difference(expected, came)


def _annotated(text: str, annotations: Labels) -> str:
    return "".join((text, *(f" {key}: {annotations[key]!r}" for key in sorted(annotations))))


def _firing(run: PolicyRun, minute: int) -> Iterator[tuple[Labels, Labels]]:
    """Labels and annotations, as receivers get them, of the alerts that fire at ``minute``."""
    policy = run.policy
    for labels, _, transitions in run.by_series():
        for one in episodes(transitions):
            ended = one.resolved_at is not None and one.resolved_at <= minute
            if one.fired_at is None or one.fired_at > minute or ended:
                continue
            value = next(
                (
                    step.value
                    for step in reversed(transitions)
                    if one.active_at <= step.at <= one.fired_at and step.value is not None
                ),
                None,
            )
            told = {**policy.labels, **labels, "severity": policy.severity}
            yield told, render(policy.annotations, labels, value)


def _states_difference(expected: ExpectedStates, run: PolicyRun) -> list[str]:
    found = {_labels_text(labels): run.states(n, own) for labels, n, own in run.by_series()}
    wanted = _labels_text(expected.labels)
    if wanted not in found:
        listed = [f"+ {one}" for one in found] or ["+ no series"]
        return [f"- {wanted}", *listed]
    came = found[wanted][: len(expected.states)]
    if came == expected.states:
        return []
    pairs = enumerate(zip(expected.states, came, strict=True))
    first = next(at for at, (one, other) in pairs if one != other)
    when = format_duration(timedelta(minutes=first * run.policy.interval))
    return [f"- {expected.states}", f"+ {came}", f"  {'^':>{first + 1}} first at {when}"]


def _notifications_difference(expected: Sequence[ExpectedNotification], runs: Runs) -> list[str]:
    listed = (
        _notification_text(one.time // MINUTE, one.policy, one.labels, one.status)
        for one in expected
    )
    sent = (
        _notification_text(one.at - START, name, one.labels, one.status)
        for name, run in runs.items()
        for one in notifications(run)
    )
    return _difference(listed, sent)


def _notification_text(minute: int, policy: str, labels: Labels, status: str) -> str:
    when = format_duration(timedelta(minutes=minute))
    return f"{when:>8} {policy} {_labels_text(labels)} {status}"
