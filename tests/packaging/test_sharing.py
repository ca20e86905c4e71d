"""Processes that share the tests start one Airflow, and no module's servers twice."""

from __future__ import annotations

import pytest

from tests.sharing import shared_by


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/e2e/test_chain.py::test_a[x::y]", "tests/e2e/"),
        ("tests/e2e/test_plugin.py::test_b", "tests/e2e/"),
        ("tests/userdb/test_url.py::test_c[a@b]", "tests/userdb/test_url.py"),
    ],
)
def test_end_to_end_tests_stay_together_and_others_with_their_file(nodeid: str, scope: str) -> None:
    assert shared_by(nodeid) == scope
