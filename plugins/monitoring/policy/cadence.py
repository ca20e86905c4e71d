"""Samples are taken now and then: a window shorter than that would mostly see nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from monitoring.duration import format_duration
from monitoring.policy.loader import Policies
from monitoring.policy.signal_policy import WindowPolicy
from userdb.errors import PolicyError


def refuse_short_windows(loaded: Policies, cadences: Mapping[str, timedelta]) -> Policies:
    """``loaded`` without the policies that expect samples in a window shorter than their cadence.

    They are among the errors instead, and keep the definition that they had.

    Args:
        cadences: family of signals to the time between two samples; families that are not in it
            have a value every minute.
    """
    errors = {
        policy.name: PolicyError(
            f"policy {policy.name}: window {format_duration(policy.window)} is shorter than the "
            f"{format_duration(cadences[policy.family.name])} between two samples of "
            f"{policy.signal}; make the window longer, or collect more often"
        )
        for policy in loaded.policies
        if isinstance(policy, WindowPolicy)
        and policy.expects_samples
        and policy.window < cadences.get(policy.family.name, timedelta(0))
    }
    return replace(
        loaded,
        policies=tuple(policy for policy in loaded.policies if policy.name not in errors),
        errors=(*loaded.errors, *errors.values()),
        broken=loaded.broken | set(errors),
    )
