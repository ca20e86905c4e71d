"""Backtests on the history that userdb holds. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from monitoring.backtest.run import Grid, PolicyRun, run_policies
from monitoring.facts import UserdbFacts
from monitoring.policy.composite import CompositePolicy
from monitoring.policy.definition import Policy
from monitoring.policy.versions import Timeline, Version, current_policies
from monitoring.retention import refuse_frozen
from userdb.retention import read_floors
from userdb.store import Store


def run_on_history(
    store: Store, policies: Sequence[Policy], grid: Grid
) -> tuple[dict[str, PolicyRun], dict[str, PolicyRun]]:
    """Run edited policies, and those of the same names as they are in userdb, by name.

    Both begin without state. A day, or a lookback if that is longer, is read at a time.

    Raises:
        WindowError: a policy looks back from the grid past the retention floor.
    """
    with store.read() as connection:
        facts = UserdbFacts(store, connection)
        current = _with_operands([policy.name for policy in policies], current_policies(connection))
        runs = run_policies(policies, facts, grid), run_policies(current, facts, grid)
        floors = read_floors(connection)
    for policy in (*policies, *current):
        timeline = Timeline([Version(1, 0, grid.policy(policy))])
        refuse_frozen(policy.name, timeline, floors, grid.start - 1, grid.end, begin=1)
    return runs


def _with_operands(names: Iterable[str], known: Mapping[str, Policy | None]) -> list[Policy]:
    """The policies of these names, and all that composites among them combine.

    A composite that lacks one, which was removed, is left out: it can't be evaluated.
    """
    found: dict[str, Policy] = {}

    def add(name: str) -> bool:
        policy = known.get(name)
        if policy is None:
            return False
        operands = policy.operands if isinstance(policy, CompositePolicy) else ()
        if not all(add(one) for one in operands):
            return False
        found[name] = policy
        return True

    for name in names:
        add(name)
    return list(found.values())
