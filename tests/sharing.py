"""How processes share the tests: file by file, but all end-to-end tests stay together.

They share an Airflow, which takes long to start; beside it another process works through the rest.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

END_TO_END = "tests/e2e/"


class Sharing(LoadFileScheduling):
    """What ``--dist loadfile`` does with these tests."""

    def _split_scope(self, nodeid: str) -> str:
        return shared_by(nodeid)


def shared_by(nodeid: str) -> str:
    """What a test shares its process with."""
    return END_TO_END if nodeid.startswith(END_TO_END) else nodeid.partition("::")[0]


def longest_first(items: list[pytest.Item]) -> None:
    """Put the end-to-end tests first, in place: the rest fits beside them."""
    items.sort(key=lambda item: not item.nodeid.startswith(END_TO_END))
