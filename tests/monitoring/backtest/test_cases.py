"""Unit tests of policies: what is compared, how a failure is shown, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from monitoring.backtest.cases import find_case_files, read_cases
from monitoring.backtest.check import check_cases
from monitoring.cli import main

from userdb.errors import PolicyError

POLICIES = """
policies:
  - name: busy
    signal: requests.count
    by: [service]
    window: 1m
    condition: "> 5"
    for: 1m
    severity: error
    labels: {team: web}
    annotations: {summary: "{{ service }}: {{ value | number }}"}
  - name: slow
    signal: requests.latency
    quantile: 0.5
    by: [service]
    window: 1m
    condition: "> 100"
  - name: late
    signal: requests.latency_max
    by: [route]
    window: 1m
    condition: "> 5"
    flapping: {lookback: 4, changes: 3}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "policies.yaml").write_text(POLICIES)
    (folder / "tests").mkdir(exist_ok=True)
    path = folder / "tests" / "cases.yaml"
    path.write_text("policy_files: [../policies.yaml]\n" + text)
    return path


def failures(folder: Path, text: str) -> list[tuple[str, ...]]:
    return [one.difference for one in check_cases(read_cases(write(folder, text)))]


INPUT = """
tests:
  - input_series:
      - {series: 'requests.count{service="a", route="/x"}', values: "1 9 9 1 9"}
      - {series: 'requests.count{service="a", route="/y"}', values: "1x4"}
"""


def test_the_first_value_is_seen_at_eval_time_zero_as_by_promtool(tmp_path):
    text = INPUT + "    exp_states: [{policy: busy, labels: {service: a}, states: .PF.P}]\n"
    assert failures(tmp_path, text) == []
    text = text.replace("1x4", "5x4")
    assert failures(tmp_path, text) == [("- .PF.P", "+ PFFFF", "  ^ first at 0s")]


def test_alerts_have_the_policys_labels_and_severity_and_no_name(tmp_path):
    expected = """
    alert_rule_test:
      - eval_time: 2m
        alertname: busy
        exp_alerts:
          - exp_labels: {service: a, team: web, severity: error}
            exp_annotations: {summary: "a: 10"}
      - {eval_time: 1m, alertname: busy}
      - {eval_time: 3m, alertname: busy}
"""
    assert failures(tmp_path, INPUT + expected) == []
    wrong = expected.replace("severity: error", "severity: info")
    ((first, second, *_),) = failures(tmp_path, INPUT + wrong)
    assert {first[:2], second[:2]} <= {"+ ", "- ", "? "}
    wrong = expected.replace("a: 10", "a: 11")
    (lines,) = failures(tmp_path, INPUT + wrong)
    assert """- {service="a", severity="error", team="web"} summary: 'a: 11'""" in lines
    assert """+ {service="a", severity="error", team="web"} summary: 'a: 10'""" in lines
    without = expected.replace('            exp_annotations: {summary: "a: 10"}\n', "")
    assert failures(tmp_path, INPUT + without) == []
    none = "    alert_rule_test: [{eval_time: 2m, alertname: busy}]\n"
    assert failures(tmp_path, INPUT + none) == [('+ {service="a", severity="error", team="web"}',)]


def test_a_series_that_is_not_there_is_told_with_those_that_are(tmp_path):
    text = INPUT + "    exp_states: [{policy: busy, labels: {service: b}, states: .}]\n"
    assert failures(tmp_path, text) == [('- {service="b"}', '+ {service="a"}')]


def test_notifications_are_compared_all(tmp_path):
    text = INPUT.replace("1 9 9 1 9", "1 9 9 1 1")
    text += "    exp_notifications:\n"
    fires = "      - {time: 2m, policy: busy, labels: {service: a}, status: firing}\n"
    ends = "      - {time: 3m, policy: busy, labels: {service: a}, status: resolved}\n"
    assert failures(tmp_path, text + ends + fires) == []
    (lines,) = failures(tmp_path, text + fires)
    assert '+       3m busy {service="a"} resolved' in lines


def test_a_flapping_alert_is_told_once(tmp_path):
    text = """
tests:
  - input_series:
      - {series: 'requests.latency_max{route="/x"}', values: "9 1 9 1 9 1 1x9"}
    exp_notifications:
      - {time: 0m, policy: late, labels: {route: /x}, status: firing}
      - {time: 1m, policy: late, labels: {route: /x}, status: resolved}
      - {time: 2m, policy: late, labels: {route: /x}, status: firing}
      - {time: 9m, policy: late, labels: {route: /x}, status: resolved}
"""
    assert failures(tmp_path, text) == []


def test_buckets_of_a_histogram_are_given_one_by_one_and_are_not_cumulative(tmp_path):
    text = """
tests:
  - input_series:
      - {series: 'requests.latency{service="a", le="50"}', values: "4 6"}
      - {series: 'requests.latency{service="a", le="+Inf"}', values: "6 4"}
    exp_states: [{policy: slow, labels: {service: a}, states: F.}]
"""
    assert failures(tmp_path, text) == []


def test_intervals_and_gaps(tmp_path):
    text = """
evaluation_interval: 5m
tests:
  - input_series:
      - {series: 'requests.count{service="a"}', values: "9x4"}
    gaps: [{signal: requests.latency, from: 4m, to: 10m}]
    exp_states: [{policy: busy, labels: {service: a}, states: "P??FF"}]
  - interval: 1m
    input_series:
      - {series: 'requests.count{service="a"}', values: "1x4 9 1x3 9"}
    exp_states: [{policy: busy, labels: {service: a}, states: ".PF"}]
"""
    assert failures(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tests: []", "cases.yaml:2: tests: "),
        ("tests:\n  - {colour: red}", "cases.yaml:3: tests[0].colour: "),
        (
            "tests:\n  - input_series:\n      - {series: requests.nope, values: 1}",
            "cases.yaml:4: tests[0].input_series[0].series: unknown signal 'requests.nope'",
        ),
        (
            "tests:\n  - input_series:\n      - {series: requests.timeout_ratio, values: 1}",
            "is a ratio of timeout to requests; give the signals of these: requests.timeouts, "
            "requests.count",
        ),
        (
            "tests:\n  - input_series:\n      - {series: requests.latency, values: 1}",
            "name a bucket by its upper bound, le=one of 5, 10,",
        ),
        (
            "tests:\n  - input_series:\n      - {series: 'requests.count{le=\"5\"}', values: 1}",
            "requests.count does not have the label 'le'",
        ),
        (
            "tests:\n  - input_series:\n      - {series: requests.count, values: 1+1}",
            "tests[0].input_series[0].values: '1+1' is not a value",
        ),
        (
            "tests:\n  - input_series:\n      - {series: requests.count, values: 1}\n"
            "      - {series: 'requests.count{}', values: 1}",
            "cases.yaml:5: tests[0].input_series[1].series: is given twice",
        ),
        (
            "tests:\n  - alert_rule_test: [{eval_time: 30s, alertname: busy}]",
            "cases.yaml:3: tests[0].alert_rule_test[0].eval_time: must be a whole number of min",
        ),
        (
            "tests:\n  - alert_rule_test:\n      - {eval_time: 1m, alertname: lazy}",
            "cases.yaml:4: tests[0].alert_rule_test[0].alertname: there is no policy 'lazy'; "
            "there are busy, late, slow",
        ),
        (
            "tests:\n  - exp_states: [{policy: busy, states: X}]",
            "cases.yaml:3: tests[0].exp_states[0].states: ",
        ),
        ("tests:\n  - gaps: [{signal: x, from: 1m, to: 2m}]", "tests[0].gaps[0].signal: unknown"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(tmp_path, text, says):
    with pytest.raises(PolicyError) as told:
        read_cases(write(tmp_path, text))
    assert says in str(told.value)


def test_policy_files_that_are_not_there_or_not_valid_are_told(tmp_path):
    path = write(tmp_path, "tests: [{}]\n")
    (tmp_path / "policies.yaml").write_text("policies:\n  - {name: b, signal: nope}\n")
    with pytest.raises(PolicyError, match=r"policies.yaml:2: policies\[0\].signal: unknown"):
        read_cases(path)
    (tmp_path / "policies.yaml").unlink()
    with pytest.raises(PolicyError, match=r"cases.yaml:1: policy_files\[0\]: there is no file"):
        read_cases(path)


def test_a_path_without_tests_is_told(tmp_path):
    with pytest.raises(PolicyError, match="no such file, or folder with files of unit tests"):
        find_case_files([tmp_path])


def run(monkeypatch, capsys, *paths: Path) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["monitoring", "policy", "test", *map(str, paths)])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def test_the_command_shows_failures_as_a_diff_and_goes_on_after_a_broken_file(
    tmp_path, monkeypatch, capsys
):
    good = INPUT + "    exp_states: [{policy: busy, labels: {service: a}, states: .PF.P}]\n"
    path = write(tmp_path, good)
    assert run(monkeypatch, capsys, path) == (0, "1 tests passed, 0 failed\n", "")

    path.write_text(path.read_text().replace(".PF.P", ".PFFP"))
    (path.parent / "broken.yaml").write_text("tests: [")
    code, out, err = run(monkeypatch, capsys, path.parent)
    assert code == 1
    assert "broken.yaml:1: " in err
    assert f'{path}:7: tests[0]: states of busy {{service="a"}}\n' in out
    assert "    - .PFFP\n    + .PF.P\n         ^ first at 3m\n" in out
    assert "0 tests passed, 1 failed; 1 files are not valid" in out
