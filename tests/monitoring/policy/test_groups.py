"""Policies shared out: each to exactly one part, what is connected to the same one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring.policy.groups import Shard, connected

NAMES = st.text("abcdefg", min_size=1, max_size=2)
POLICIES = st.dictionaries(NAMES, st.lists(NAMES, max_size=3), max_size=12)


@given(operands=POLICIES, count=st.integers(1, 6))
def test_parts_have_each_policy_once_and_keep_groups_together(
    operands: dict[str, list[str]], count: int
) -> None:
    parts = [Shard(number, count).policies(operands) for number in range(count)]
    assert sorted(name for part in parts for name in part) == sorted(operands)
    for name, combined in operands.items():
        (own,) = (part for part in parts if name in part)
        assert own.issuperset(one for one in combined if one in operands)


@given(operands=POLICIES, count=st.integers(1, 6), extra=NAMES)
def test_a_policy_that_comes_moves_no_other_group(
    operands: dict[str, list[str]], count: int, extra: str
) -> None:
    if extra in operands or any(extra in combined for combined in operands.values()):
        return
    more = {**operands, extra: []}
    for number in range(count):
        shard = Shard(number, count)
        assert shard.policies(more) - {extra} == shard.policies(operands)


def test_groups_are_connected_over_any_number_of_composites() -> None:
    operands = {"a": [], "b": [], "ab": ["a", "b"], "deep": ["ab", "gone"], "alone": []}
    assert connected(operands) == [("a", "ab", "b", "deep"), ("alone",)]


@pytest.mark.parametrize(("number", "count"), [(1, 1), (-1, 2), (0, 0)])
def test_there_are_no_other_parts(number: int, count: int) -> None:
    with pytest.raises(ValueError, match="there is no such part"):
        Shard(number, count)
