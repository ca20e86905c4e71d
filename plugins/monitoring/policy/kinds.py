"""The kinds of policies, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitoring.policy.absence import AbsencePolicy
from monitoring.policy.baseline import BaselinePolicy
from monitoring.policy.burn_rate import BurnRatePolicy
from monitoring.policy.cardinality import CardinalityPolicy
from monitoring.policy.change import ChangePolicy
from monitoring.policy.composite import CompositePolicy
from monitoring.policy.definition import Policy
from monitoring.policy.new_value import NewValuePolicy
from monitoring.policy.threshold import ThresholdPolicy
from monitoring.signals import CATALOGUE, Catalogue

KINDS: dict[str, type[Policy]] = {}
#: The kind of a policy that doesn't say.
DEFAULT_KIND = "threshold"


def register_kind(model: type[Policy]) -> None:
    """Add a kind. Raises ValueError where its name is taken."""
    name = str(model.model_fields["kind"].default)
    if name in KINDS:
        raise ValueError(f"policy kind {name!r} is registered twice")
    KINDS[name] = model


register_kind(ThresholdPolicy)
register_kind(CompositePolicy)
register_kind(AbsencePolicy)
register_kind(NewValuePolicy)
register_kind(CardinalityPolicy)
register_kind(ChangePolicy)
register_kind(BaselinePolicy)
register_kind(BurnRatePolicy)


def parse_policy(data: Mapping[str, Any], catalogue: Catalogue = CATALOGUE) -> Policy:
    """A policy from its stored or written form.

    Args:
        catalogue: where signals are looked up.

    Raises:
        pydantic.ValidationError: a field is not valid.
        ValueError: an unknown kind.
    """
    kind = data.get("kind", DEFAULT_KIND)
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; known are {', '.join(sorted(KINDS))}")
    return KINDS[kind].model_validate(dict(data), context={"catalogue": catalogue})


def stored_form(policy: Policy) -> dict[str, Any]:
    """The policy as JSON for policy_version; ``parse_policy`` reads it back."""
    return policy.model_dump(mode="json", by_alias=True)
