"""Which policies belong together, and how they are shared out to tasks that run side by side.

A composite is scored and folded with the policies that it combines: what is connected by
composites, over any number of them, is one group and stays together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from monitoring.policy.composite import CompositePolicy
from monitoring.policy.definition import Policy


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of the policies, counted from 0."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise ValueError(f"shard {self.number} of {self.count}: there is no such part")

    def policies(self, operands: Mapping[str, Collection[str]]) -> frozenset[str]:
        """The policies of this part. All parts together have each policy exactly once.

        Where a group belongs depends on it alone: policies that come and go move no others.

        Args:
            operands: every policy, and the policies that it combines; none where it is no
                composite.
        """
        return frozenset(
            name
            for group in connected(operands)
            if _number(group[0], self.count) == self.number
            for name in group
        )


def operands(definitions: Mapping[str, Policy | None]) -> dict[str, tuple[str, ...]]:
    """Every policy, and the policies that it combines: what ``Shard.policies`` takes."""
    return {
        name: tuple(one.operands) if isinstance(one, CompositePolicy) else ()
        for name, one in definitions.items()
    }


def connected(operands: Mapping[str, Collection[str]]) -> list[tuple[str, ...]]:
    """The groups, each in the order of names, by their first names.

    Args:
        operands: as ``Shard.policies`` takes it. Names that are no key are left out.
    """
    neighbours: dict[str, set[str]] = {name: set() for name in operands}
    for name, combined in operands.items():
        for other in combined:
            if other in neighbours:
                neighbours[name].add(other)
                neighbours[other].add(name)
    groups: list[tuple[str, ...]] = []
    seen: set[str] = set()
    for name in sorted(neighbours):
        if name in seen:
            continue
        group, ahead = {name}, [name]
        while ahead:
            fresh = neighbours[ahead.pop()] - group
            group |= fresh
            ahead += fresh
        seen |= group
        groups.append(tuple(sorted(group)))
    return groups


def _number(name: str, count: int) -> int:
    """A part, the same in every process: Python's own hash of a text differs between them."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % count
