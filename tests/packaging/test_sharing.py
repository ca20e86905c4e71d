"""Processes that share the tests start one Airflow, and no module's servers twice."""

from __future__ import annotations

import pytest


def test_end_to_end_tests_stay_together_and_others_with_their_file(
    request: pytest.FixtureRequest,
) -> None:
    for item in request.session.items:
        marker = item.get_closest_marker("xdist_group")
        assert marker is not None
        is_e2e = item.get_closest_marker("e2e") is not None
        assert marker.args == ("e2e" if is_e2e else item.location[0],)
