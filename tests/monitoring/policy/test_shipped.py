"""The shipped policies do what their unit tests say, and each has some."""

from __future__ import annotations

import pytest
from monitoring.backtest.cases import find_case_files, read_cases
from monitoring.backtest.check import check_cases, run_case
from monitoring.policy.loader import load_policies, policies_path

FILES = find_case_files([policies_path() / "tests"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_unit_tests_of_shipped_policies_pass(path):
    failures = check_cases(read_cases(path))
    told = "\n".join("\n".join((f"{one.line}: {one.what}", *one.difference)) for one in failures)
    assert not failures, told


def test_every_shipped_policy_has_a_test_in_which_it_fires_and_one_in_which_it_does_not():
    fired, quiet = set(), set()
    for path in FILES:
        cases = read_cases(path)
        for case in cases.cases:
            given = {one.series.name for one in case.input_series}
            for name, run in run_case(cases, case).items():
                fires = [
                    any(one.to_state == "firing" for one in transitions)
                    for _, _, transitions in run.by_series()
                ]
                if any(fires):
                    fired.add(name)
                # there are no series where its where leaves all of them out
                if given & looked_at(run.policy) and not (fires and all(fires)):
                    quiet.add(name)
    shipped = {policy.name for policy in load_policies().policies}
    assert shipped - fired == set(), "no test in which these fire"
    assert shipped - quiet == set(), "no test in which these see something and do not fire"


def looked_at(policy) -> set[str]:
    """The columns of a policy's signals."""
    return {name for signal in policy.signals for name in signal.columns}
