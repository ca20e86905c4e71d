"""How composites join the policies that they name: on which labels, and in which order."""

from __future__ import annotations

from collections.abc import Mapping

from monitoring.policy.composite import CompositePolicy
from monitoring.policy.definition import Policy


def join_composites(
    policies: Mapping[str, Policy],
) -> tuple[dict[str, Policy], dict[str, str]]:
    """Give every composite its labels, and refuse those that can't be evaluated.

    Returns:
        The policies that are valid, composites with ``by`` filled in; and for each of the others
        what is wrong with it.
    """
    joined = {
        name: policy for name, policy in policies.items() if not isinstance(policy, CompositePolicy)
    }
    errors: dict[str, str] = {}

    def resolve(name: str, path: tuple[str, ...]) -> None:
        policy = policies[name]
        if name in joined or name in errors or not isinstance(policy, CompositePolicy):
            return
        for operand in policy.operands:
            if operand not in policies:
                errors[name] = f"it names the policy {operand!r}, and there is no valid one"
                return
            if operand in (*path, name):
                cycle = " → ".join(
                    (*path[path.index(operand) :], name) if operand in path else (name,)
                )
                errors[name] = f"it depends on itself: {cycle} → {operand}"
                return
            resolve(operand, (*path, name))
            if operand in errors:
                errors.setdefault(name, f"it names {operand!r}, which is not valid")
            if name in errors:
                return
        try:
            joined[name] = _joined(policy, [joined[one] for one in policy.operands])
        except ValueError as error:
            errors[name] = str(error)

    for name in policies:
        resolve(name, ())
    return joined, errors


def _joined(policy: CompositePolicy, operands: list[Policy]) -> CompositePolicy:
    """``policy`` with its labels; ValueError where the operands don't have them."""
    shared = [
        label
        for label in operands[0].group_labels
        if all(label in one.group_labels for one in operands)
    ]
    if policy.by is None:
        return policy.model_copy(update={"by": tuple(shared)})
    for label in policy.by:
        for one in operands:
            if label not in one.group_labels:
                raise ValueError(
                    f"by names the label {label!r}, by which {one.name} does not tell series "
                    f"apart; labels that all its policies share: {', '.join(shared) or 'none'}"
                )
    return policy
