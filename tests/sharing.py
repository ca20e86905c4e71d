"""How processes share the tests with ``--dist loadgroup``: by file, but end-to-end tests as one.

They share an Airflow, which is started once; beside it another process works through the rest.
"""

from __future__ import annotations

import pytest


def share(items: list[pytest.Item]) -> None:
    """Say of each test which others it has to run with, and put the longest of these first."""
    for item in items:
        together = "e2e" if item.get_closest_marker("e2e") else item.location[0]
        item.add_marker(pytest.mark.xdist_group(together))
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
